#include "service/instance.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "service/socket_path.h"

namespace nvublk::service {

namespace {

std::string lock_path_of(const std::string& socket_path) {
  return socket_path + ".lock";
}

Status make_directory(const std::string& path) {
  std::error_code failure;
  std::filesystem::create_directories(path, failure);
  if (failure) {
    Error error = Error::from_errno(failure.value(), "cannot make the directory " + path);
    if (error.code == ErrorCode::kPermission) {
      error.text += "; the daemon has to run as root";
    }
    return std::unexpected(std::move(error));
  }
  return {};
}

std::string pid_in(int lock) {
  char text[32] = {};
  const ssize_t length = ::pread(lock, text, sizeof(text) - 1, 0);
  std::string pid;
  for (ssize_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
    pid += text[i];
  }
  return pid;
}

Error occupied(const std::string& socket_path, const std::string& pid) {
  return Error::make(ErrorCode::kAlreadyExists,
                     "another nvublkd" + (pid.empty() ? "" : " (pid " + pid + ")") + " serves " +
                         socket_path + " already; give this one another --socket");
}

/// Whether the path still names the file that is locked: a daemon that ends removes its lock.
bool is_current(int lock, const std::string& path) {
  struct stat opened{};
  struct stat named{};
  return ::fstat(lock, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

Result<UniqueFd> take_lock(const std::string& socket_path) {
  const std::string path = lock_path_of(socket_path);
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
      return std::unexpected(occupied(socket_path, pid_in(lock.get())));
    }
    if (!is_current(lock.get(), path)) {
      continue;
    }
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(lock.get(), 0) != 0 ||
        ::pwrite(lock.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
      return fail_errno(errno, "cannot write " + path);
    }
    return lock;
  }
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Status remove_stale(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    return {};
  }
  if (!S_ISSOCK(status.st_mode)) {
    return fail(ErrorCode::kAlreadyExists, path + " exists and is no socket; remove it first");
  }
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = address_of(path);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EAGAIN) {
    return std::unexpected(occupied(path, {}));
  }
  if (::unlink(path.c_str()) != 0) {
    return fail_errno(errno, "cannot remove the stale socket " + path);
  }
  return {};
}

Result<UniqueFd> listen_on(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) {
    return fail_errno(errno, "cannot make a socket");
  }
  const sockaddr_un address = address_of(path);
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  ::umask(before);
  if (bound != 0) {
    return fail_errno(error, "cannot listen on " + path);
  }
  if (::listen(fd.get(), 64) != 0) {
    return fail_errno(errno, "cannot listen on " + path);
  }
  return fd;
}

}  // namespace

bool Instance::claimed(const std::string& socket_path) {
  return ::access(lock_path_of(socket_path).c_str(), F_OK) == 0;
}

Result<Instance> Instance::claim(const std::string& socket_path, const std::string& run_directory) {
  if (Status right = check_socket_path(socket_path); !right) {
    return std::unexpected(std::move(right.error()));
  }
  const std::string parent = std::filesystem::path(socket_path).parent_path();
  if (Status made = make_directory(parent); !made) {
    return std::unexpected(std::move(made.error()));
  }
  auto lock = take_lock(socket_path);
  if (!lock) {
    return std::unexpected(std::move(lock.error()));
  }
  if (Status removed = remove_stale(socket_path); !removed) {
    return std::unexpected(std::move(removed.error()));
  }
  if (Status made = make_directory(run_directory); !made) {
    return std::unexpected(std::move(made.error()));
  }
  auto listener = listen_on(socket_path);
  if (!listener) {
    return std::unexpected(std::move(listener.error()));
  }
  return Instance(socket_path, run_directory, std::move(*lock), std::move(*listener));
}

Status Instance::await_end(const std::string& socket_path, Duration limit) {
  const UniqueFd lock(::open(lock_path_of(socket_path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
    return {};
  }
  const std::string pid = pid_in(lock.get());
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, std::atoi(pid.c_str()), 0)));
  if (!process) {
    return errno == ESRCH ? Status{} : fail_errno(errno, "cannot watch process " + pid);
  }
  pollfd ended{process.get(), POLLIN, 0};
  const auto wait = std::chrono::duration_cast<milliseconds>(limit);
  const int result = ::poll(&ended, 1, static_cast<int>(wait.count()));
  if (result <= 0) {
    return fail(ErrorCode::kTimeout, "the daemon before this one (pid " + pid + ") does not end");
  }
  return {};
}

Instance::Instance(std::string socket_path, std::string run_directory, UniqueFd lock,
                   UniqueFd listener)
    : socket_path_(std::move(socket_path)),
      run_directory_(std::move(run_directory)),
      lock_(std::move(lock)),
      listener_(std::move(listener)) {
  struct stat made{};
  if (::lstat(socket_path_.c_str(), &made) == 0) {
    device_ = made.st_dev;
    inode_ = made.st_ino;
  }
}

bool Instance::owns_socket() const {
  struct stat found{};
  return inode_ != 0 && ::lstat(socket_path_.c_str(), &found) == 0 && found.st_dev == device_ &&
         found.st_ino == inode_;
}

Instance::~Instance() {
  give_up();
}

void Instance::give_up() {
  if (!lock_) {
    return;  // moved from
  }
  if (owns_socket()) {
    ::unlink(socket_path_.c_str());
  }
  if (run_directory_ != run_directory_of(kDefaultSocket)) {
    ::rmdir(run_directory_.c_str());
  }
  ::unlink(lock_path_of(socket_path_).c_str());
  lock_.reset();
}

}  // namespace nvublk::service
