#include "service/lock_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <limits>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace nvublk::service {

namespace {

std::string pid_in(int lock) {
  char text[32] = {};
  const ssize_t length = ::pread(lock, text, sizeof(text) - 1, 0);
  std::string pid;
  for (ssize_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
    pid += text[i];
  }
  return pid;
}

/// Whether the path still names the file that is locked: who ends removes it.
bool is_current(int lock, const std::string& path) {
  struct stat opened{};
  struct stat named{};
  return ::fstat(lock, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

Result<LockFile> LockFile::take(const std::string& path, std::string& holder) {
  while (true) {
    UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock) {
      Error error = Error::from_errno(errno, "cannot open " + path);
      if (error.code == ErrorCode::kPermission) {
        error.text += "; the daemon has to run as root";
      }
      return std::unexpected(std::move(error));
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      holder = pid_in(lock.get());
      return fail(ErrorCode::kBusy, path + " is locked");
    }
    if (!is_current(lock.get(), path)) {
      continue;
    }
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(lock.get(), 0) != 0 ||
        ::pwrite(lock.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
      return fail_errno(errno, "cannot write " + path);
    }
    return LockFile(path, std::move(lock));
  }
}

std::string LockFile::holder_of(const std::string& path) {
  const UniqueFd lock(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!lock || ::flock(lock.get(), LOCK_SH | LOCK_NB) == 0) {
    return {};
  }
  return pid_in(lock.get());
}

LockFile::~LockFile() {
  drop();
}

void LockFile::drop() {
  if (held()) {
    ::unlink(path_.c_str());
    fd_.reset();
  }
}

Status await_end_of_process(const std::string& pid, Duration limit) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, std::atoi(pid.c_str()), 0)));
  if (!process) {
    return errno == ESRCH ? Status{} : fail_errno(errno, "cannot watch process " + pid);
  }
  pollfd ended{process.get(), POLLIN, 0};
  const auto wait = std::clamp<milliseconds::rep>(std::chrono::ceil<milliseconds>(limit).count(), 0,
                                                  std::numeric_limits<int>::max());
  if (::poll(&ended, 1, static_cast<int>(wait)) <= 0) {
    return fail(ErrorCode::kTimeout, "process " + pid + " does not end");
  }
  return {};
}

}  // namespace nvublk::service
