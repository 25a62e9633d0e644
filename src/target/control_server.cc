#include "target/control_server.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace nvublk::target {

namespace {

constexpr std::size_t kMostLineBytes = 1u << 20;

Result<sockaddr_un> socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(ErrorCode::kInvalidArgument, "the control socket's path is too long");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

bool send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

/// Removes what a process that is gone has left at `path`, and nothing else.
Status remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat info{};
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return fail(ErrorCode::kAlreadyExists, path + " exists and is no socket; remove it first");
  }
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return fail_errno(errno, "cannot create a socket");
  const int connected =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  close(probe);
  // EAGAIN: its backlog is full. EPROTOTYPE: it takes datagrams.
  if (connected == 0 || error == EAGAIN || error == EPROTOTYPE) {
    return fail(ErrorCode::kAlreadyExists,
                "the control socket " + path + " is in use by another process");
  }
  if (error == ENOENT) return {};
  if (error != ECONNREFUSED) return fail_errno(error, "cannot replace the socket " + path);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "cannot remove the stale socket " + path);
  }
  return {};
}

}  // namespace

Status ControlServer::start(const std::string& path) {
  auto address = socket_address(path);
  if (!address) return std::unexpected(address.error());
  if (auto removed = remove_stale(path, *address); !removed) return removed;
  listen_fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listen_fd_ < 0) return fail_errno(errno, "cannot create the control socket");
  const mode_t old_mask = umask(0177);
  const int bound =
      bind(listen_fd_, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address));
  const int error = errno;
  umask(old_mask);
  if (bound != 0) return fail_errno(error, "cannot bind the control socket " + path);
  struct stat made{};
  if (lstat(path.c_str(), &made) == 0) {
    path_ = path;
    device_ = made.st_dev;
    inode_ = made.st_ino;
  }
  if (listen(listen_fd_, 16) != 0) return fail_errno(errno, "cannot listen on " + path);
  wake_fd_ = eventfd(0, EFD_CLOEXEC);
  if (wake_fd_ < 0) return fail_errno(errno, "cannot create an eventfd");
  thread_ = std::thread([this] { run(); });
  return {};
}

void ControlServer::stop() {
  if (thread_.joinable()) {
    stopping_ = true;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
    thread_.join();
  }
  for (const auto& [fd, pending] : clients_) close(fd);
  clients_.clear();
  if (!path_.empty()) {
    // Another process may have put its own there meanwhile.
    struct stat info{};
    if (lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
      unlink(path_.c_str());
    }
    path_.clear();
  }
  // Only now: as long as it is open, nothing else gets its inode's number.
  if (listen_fd_ >= 0) close(listen_fd_);
  if (wake_fd_ >= 0) close(wake_fd_);
  listen_fd_ = wake_fd_ = -1;
}

void ControlServer::run() {
  while (!stopping_) {
    std::vector<pollfd> polled{{wake_fd_, POLLIN, 0}, {listen_fd_, POLLIN, 0}};
    for (const auto& [fd, pending] : clients_) polled.push_back({fd, POLLIN, 0});
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    for (std::size_t i = 2; i < polled.size(); i++) {
      const int fd = polled[i].fd;
      if (polled[i].revents != 0 && !serve(fd, clients_[fd])) {
        close(fd);
        clients_.erase(fd);
      }
    }
    if ((polled[1].revents & POLLIN) != 0) {
      const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) clients_.emplace(fd, std::string{});
    }
  }
}

bool ControlServer::serve(int fd, std::string& pending) {
  std::array<char, 4096> part;
  const ssize_t got = recv(fd, part.data(), part.size(), 0);
  if (got <= 0) return got < 0 && errno == EINTR;
  pending.append(part.data(), static_cast<std::size_t>(got));
  for (std::size_t end; (end = pending.find('\n')) != std::string::npos;) {
    const std::string response = handle_control_request(target_, pending.substr(0, end)) + "\n";
    pending.erase(0, end + 1);
    if (!send_all(fd, response)) return false;
  }
  return pending.size() <= kMostLineBytes;
}

Result<std::string> call_control(const std::string& path, std::string_view method,
                                 std::string_view params_json) {
  nlohmann::json request{{"method", method}};
  if (!params_json.empty()) {
    request["params"] = nlohmann::json::parse(params_json, nullptr, false);
    if (!request["params"].is_object()) {
      return fail(ErrorCode::kInvalidArgument, "the parameters are not a JSON object");
    }
  }
  auto address = socket_address(path);
  if (!address) return std::unexpected(address.error());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno(errno, "cannot create a socket");
  const std::string text =
      request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  std::string response;
  int error = 0;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    error = errno;
  } else if (!send_all(fd, text)) {
    error = EPIPE;
  } else {
    std::array<char, 4096> part;
    while (response.find('\n') == std::string::npos) {
      const ssize_t got = recv(fd, part.data(), part.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        error = ECONNRESET;
        break;
      }
      response.append(part.data(), static_cast<std::size_t>(got));
    }
  }
  close(fd);
  if (error != 0) {
    return fail_errno(error, "cannot talk to the control socket " + path +
                                 " (is nvublk-target running with --control?)");
  }
  response.erase(response.find('\n'));
  return response;
}

}  // namespace nvublk::target
