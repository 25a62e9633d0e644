#include "service/instance.h"

#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "service/run_directory.h"
#include "service/socket_path.h"

namespace nvublk::service {

namespace {

std::string lock_path_of(const std::string& socket_path) {
  return socket_path + ".lock";
}

std::string directory_lock_path_of(const std::string& run_directory) {
  return run_directory + "/lock";
}

std::string another_daemon(const std::string& pid) {
  return "another nvublkd" + (pid.empty() ? "" : " (pid " + pid + ")");
}

Error occupied(const std::string& socket_path, const std::string& pid) {
  return Error::make(ErrorCode::kAlreadyExists, another_daemon(pid) + " serves " + socket_path +
                                                    " already; give this one another --socket");
}

Result<LockFile> take_socket_lock(const std::string& socket_path) {
  std::string holder;
  auto lock = LockFile::take(lock_path_of(socket_path), holder);
  if (!lock && lock.error().code == ErrorCode::kBusy) {
    return std::unexpected(occupied(socket_path, holder));
  }
  return lock;
}

/// Makes the directory and locks it. kNotFound: it went away in between, with who had it before.
Result<LockFile> try_run_directory(const std::string& run_directory, std::string& holder) {
  if (Status made = make_run_directory(run_directory); !made) {
    return std::unexpected(std::move(made.error()));
  }
  return LockFile::take(directory_lock_path_of(run_directory), holder);
}

/// Two daemons with one run directory would overwrite each other's state and mounts. Who replaces
/// another, or follows one that was killed, can be here a moment before that has ended.
Result<LockFile> take_run_directory(const std::string& run_directory, Duration patience) {
  constexpr int kPauseMs = 20;
  const Instant deadline = Clock::now() + patience;
  while (true) {
    std::string holder;
    auto lock = try_run_directory(run_directory, holder);
    if (!lock && lock.error().code == ErrorCode::kNotFound) {
      continue;
    }
    if (lock || lock.error().code != ErrorCode::kBusy) {
      return lock;
    }
    const Instant now = Clock::now();
    if (now >= deadline) {
      return fail(ErrorCode::kAlreadyExists,
                  another_daemon(holder) + " has the run directory " + run_directory +
                      "; end that one first, or give this one another --run-dir");
    }
    [[maybe_unused]] const Status ended = await_end_of_process(holder, deadline - now);
    ::poll(nullptr, 0, kPauseMs);  // its end may be such that it cannot be watched
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

Result<Instance> Instance::claim(const std::string& socket_path, const std::string& run_directory,
                                 Duration patience) {
  if (Status right = check_socket_path(socket_path); !right) {
    return std::unexpected(std::move(right.error()));
  }
  if (Status made = make_socket_directory(socket_path); !made) {
    return std::unexpected(std::move(made.error()));
  }
  auto lock = take_socket_lock(socket_path);
  if (!lock) {
    return std::unexpected(std::move(lock.error()));
  }
  if (Status removed = remove_stale(socket_path); !removed) {
    return std::unexpected(std::move(removed.error()));
  }
  auto directory_lock = take_run_directory(run_directory, patience);
  if (!directory_lock) {
    return std::unexpected(std::move(directory_lock.error()));
  }
  auto listener = listen_on(socket_path);
  if (!listener) {
    return std::unexpected(std::move(listener.error()));
  }
  return Instance(socket_path, run_directory, {std::move(*lock), std::move(*directory_lock)},
                  std::move(*listener));
}

Status Instance::await_end(const std::string& socket_path, Duration limit) {
  const std::string pid = LockFile::holder_of(lock_path_of(socket_path));
  if (pid.empty()) {
    return {};
  }
  Status ended = await_end_of_process(pid, limit);
  if (!ended && ended.error().code == ErrorCode::kTimeout) {
    ended.error().text = "the daemon before this one (pid " + pid + ") does not end";
  }
  return ended;
}

Instance::Instance(std::string socket_path, std::string run_directory, Locks locks,
                   UniqueFd listener)
    : socket_path_(std::move(socket_path)),
      run_directory_(std::move(run_directory)),
      locks_(std::move(locks)),
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
  if (!locks_.socket.held()) {
    return;  // moved from
  }
  if (owns_socket()) {
    ::unlink(socket_path_.c_str());
  }
  locks_.directory.drop();
  if (run_directory_ != run_directory_of(kDefaultSocket)) {
    ::rmdir(run_directory_.c_str());
  }
  locks_.socket.drop();
}

}  // namespace nvublk::service
