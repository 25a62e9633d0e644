#include "service/daemon_starter.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/fd.h"
#include "engine/time.h"
#include "service/instance.h"
#include "service/rpc_client.h"
#include "service/run_directory.h"
#include "service/socket_path.h"

namespace nvublk::service {

namespace fs = std::filesystem;

namespace {

constexpr seconds kStartLimit{30};
constexpr seconds kOtherLimit{5};
/// The descriptor on which the daemon tells that it is ready.
constexpr int kReadyFd = 3;

struct StartPlan {
  std::string program;
  std::string socket_path;
  std::string log_path;
};

[[noreturn]] void give_up(int ready_fd, const char* what) {
  std::string text = std::string(what) + ": " + std::strerror(errno) + "\n";
  [[maybe_unused]] const ssize_t written = ::write(ready_fd, text.data(), text.size());
  ::_exit(1);
}

/// In the grandchild: becomes the daemon.
[[noreturn]] void become_daemon(const StartPlan& plan, int ready_fd) {
  const int log = ::open(plan.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int null = ::open("/dev/null", O_RDONLY);
  if (log < 0 || null < 0) {
    give_up(ready_fd, "cannot open the daemon's log");
  }
  ::dup2(null, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  if (ready_fd == kReadyFd) {
    ::fcntl(ready_fd, F_SETFD, 0);
  } else {
    ::dup2(ready_fd, kReadyFd);
  }
  ::close_range(kReadyFd + 1, ~0U, 0);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(022);
  if (::chdir("/") != 0) {
    give_up(kReadyFd, "cannot change to /");
  }
  const std::string ready = std::to_string(kReadyFd);
  ::execl(plan.program.c_str(), plan.program.c_str(), "--socket", plan.socket_path.c_str(),
          "--ready-fd", ready.c_str(), static_cast<char*>(nullptr));
  give_up(kReadyFd, "cannot run nvublkd");
}

/// Forks twice, so that the daemon is nobody's child and has a session of its own.
Status spawn(const StartPlan& plan, UniqueFd ready_writer) {
  const pid_t child = ::fork();
  if (child < 0) {
    return fail_errno(errno, "cannot start the daemon");
  }
  if (child == 0) {
    ::setsid();
    const pid_t grandchild = ::fork();
    if (grandchild == 0) {
      become_daemon(plan, ready_writer.get());
    }
    ::_exit(grandchild < 0 ? 1 : 0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) {
    return fail(ErrorCode::kNoResources, "cannot start the daemon: no process for it");
  }
  return {};
}

/// What the daemon tells on its way up: all it writes until it closes the pipe.
Result<std::string> read_verdict(int fd) {
  const Instant deadline = Clock::now() + kStartLimit;
  std::string verdict;
  char chunk[512];
  while (verdict.find('\n') == std::string::npos) {
    pollfd readable{fd, POLLIN, 0};
    const auto left = milliseconds_between(Clock::now(), deadline);
    const int ready = ::poll(&readable, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    if (ready <= 0) {
      return fail(ErrorCode::kTimeout, "the daemon did not come up");
    }
    const ssize_t count = ::read(fd, chunk, sizeof(chunk));
    if (count <= 0) {
      break;
    }
    verdict.append(chunk, static_cast<std::size_t>(count));
  }
  return verdict.substr(0, verdict.find('\n'));
}

/// Another command may have started one at the same moment, which does not listen yet.
bool other_daemon_answers(const std::string& socket_path) {
  constexpr int kPauseMs = 20;
  const Instant deadline = Clock::now() + kOtherLimit;
  for (;;) {
    const bool claimed = Instance::claimed(socket_path);
    if (RpcClient::connect(socket_path)) {
      return true;
    }
    if (!claimed || Clock::now() > deadline) {
      return false;
    }
    ::poll(nullptr, 0, kPauseMs);
  }
}

bool is_program(const fs::path& path) {
  return ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<std::string> find_daemon() {
  std::vector<fs::path> folders;
  std::error_code failure;
  const fs::path self = fs::read_symlink("/proc/self/exe", failure);
  if (!failure) {
    folders.push_back(self.parent_path());
    folders.push_back(self.parent_path().parent_path() / "sbin");
  }
  const char* path = std::getenv("PATH");
  std::istringstream words(path != nullptr ? path : "");
  for (std::string word; std::getline(words, word, ':');) {
    if (!word.empty()) {
      folders.emplace_back(word);
    }
  }
  folders.insert(folders.end(), {"/usr/local/sbin", "/usr/sbin", "/sbin"});
  for (const fs::path& folder : folders) {
    if (is_program(folder / "nvublkd")) {
      return folder / "nvublkd";
    }
  }
  return fail(
      ErrorCode::kNotFound,
      "nvublkd is neither beside this program nor in PATH; install it or start it yourself");
}

Status start_daemon(const std::string& socket_path) {
  auto program = find_daemon();
  if (!program) {
    return std::unexpected(std::move(program.error()));
  }
  const std::string run_directory = run_directory_of(socket_path);
  Status made = make_socket_directory(socket_path);
  if (made) {
    made = make_run_directory(run_directory);
  }
  if (!made) {
    return made;
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return fail_errno(errno, "cannot make a pipe");
  }
  const UniqueFd reader(ends[0]);
  const StartPlan plan{*program, socket_path, run_directory + "/nvublkd.log"};
  if (Status spawned = spawn(plan, UniqueFd(ends[1])); !spawned) {
    return spawned;
  }
  auto verdict = read_verdict(reader.get());
  if (!verdict) {
    verdict.error().text += "; see " + plan.log_path;
    return std::unexpected(std::move(verdict.error()));
  }
  if (*verdict == "ready" || other_daemon_answers(socket_path)) {
    return {};
  }
  const std::string why = verdict->empty() ? "it ended at once" : *verdict;
  return fail(ErrorCode::kSystem,
              "the daemon could not start: " + why + " (log: " + plan.log_path + ")");
}

}  // namespace nvublk::service
