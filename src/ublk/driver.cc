#include "ublk/driver.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace nvublk::ublk {

namespace {

constexpr const char* kControlPath = "/dev/ublk-control";

/// posix_spawn's two structures.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

int spawn(const char* const* argv, pid_t& pid) {
  SpawnSettings settings;
  posix_spawn_file_actions_addopen(&settings.files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&settings.files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&settings.files, 2, "/dev/null", O_WRONLY, 0);
  // We may run on a thread with all signals blocked; the program shall not inherit that.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&settings.attributes, &none);
  posix_spawnattr_setflags(&settings.attributes, POSIX_SPAWN_SETSIGMASK);

  auto* arguments = const_cast<char* const*>(argv);
  int error =
      posix_spawnp(&pid, argv[0], &settings.files, &settings.attributes, arguments, environ);
  for (const char* folder : {"/usr/sbin/", "/sbin/"}) {
    if (error != ENOENT) {
      break;
    }
    const std::string path = std::string{folder} + argv[0];
    error =
        posix_spawn(&pid, path.c_str(), &settings.files, &settings.attributes, arguments, environ);
  }
  return error;
}

/// Opens the control device if it is there; the errno else.
Result<UniqueFd> open_existing() {
  UniqueFd fd(::open(kControlPath, O_RDWR | O_CLOEXEC));
  if (fd) {
    return fd;
  }
  const int error = errno;
  if (error == EACCES || error == EPERM) {
    return fail(ErrorCode::kPermission,
                "may not open /dev/ublk-control; run as root (ublk devices need CAP_SYS_ADMIN)");
  }
  return fail_errno(error, "cannot open /dev/ublk-control");
}

bool control_exists() {
  struct stat status{};
  return ::stat(kControlPath, &status) == 0;
}

}  // namespace

Result<int> run_program(const char* const* argv, Duration limit) {
  pid_t pid = -1;
  if (const int error = spawn(argv, pid); error != 0) {
    return fail_errno(error, std::string{"cannot run "} + argv[0]);
  }
  // Not pidfd_open(): glibc 2.36 declares it without C linkage.
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  bool killed = false;
  if (pidfd) {
    pollfd ended{pidfd.get(), POLLIN, 0};
    const auto limit_ms = std::chrono::duration_cast<milliseconds>(limit).count();
    if (::poll(&ended, 1, static_cast<int>(limit_ms)) == 0) {
      killed = ::kill(pid, SIGKILL) == 0;
    }
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (killed) {
    return fail(ErrorCode::kTimeout, std::string{argv[0]} + " did not end in time");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Result<UniqueFd> open_control(Duration load_limit) {
  if (control_exists()) {
    return open_existing();
  }
  const char* const argv[] = {"modprobe", "-q", "ublk_drv", nullptr};
  const Result<int> loaded = run_program(argv, load_limit);
  if (control_exists()) {
    return open_existing();
  }
  std::string text = "this kernel has no ublk driver: /dev/ublk-control is missing and ";
  if (!loaded) {
    text += loaded.error().text;
  } else if (*loaded != 0) {
    text += "`modprobe ublk_drv` failed with status " + std::to_string(*loaded);
  } else {
    text += "loading ublk_drv did not make it appear; is /dev a devtmpfs here";
  }
  text += "; a kernel with CONFIG_BLK_DEV_UBLK is needed, or use --frontend fuse";
  return fail(ErrorCode::kUnsupported, std::move(text));
}

}  // namespace nvublk::ublk
