#include "target/listener.h"

#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "target/connection.h"

namespace nvublk::target {

namespace {

ListenAddress local_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  ListenAddress address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return address;
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET6) {
    sockaddr_in6 in6;
    std::memcpy(&in6, &storage, sizeof(in6));
    inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
    address.port = ntohs(in6.sin6_port);
  } else {
    sockaddr_in in;
    std::memcpy(&in, &storage, sizeof(in));
    inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
    address.port = ntohs(in.sin_port);
  }
  address.address = text;
  return address;
}

int open_socket(const addrinfo& info) {
  const int fd = socket(info.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(fd, info.ai_addr, info.ai_addrlen) == 0 && listen(fd, 1024) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace

Listener::~Listener() {
  if (fd_ >= 0) close(fd_);
}

Result<ListenAddress> Listener::bind(const ListenAddress& address) {
  const std::string what = address.address + ":" + std::to_string(address.port);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (const int error = getaddrinfo(address.address.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    return fail(ErrorCode::kInvalidArgument,
                "cannot listen on " + what + ": " + gai_strerror(error));
  }
  fd_ = open_socket(*found);
  const int error = errno;
  freeaddrinfo(found);
  if (fd_ < 0) return fail_errno(error, "cannot listen on " + what);
  return local_address(fd_);
}

void Listener::on_ready(std::uint32_t) {
  while (true) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    if (subsystem_.faults().take(FaultKind::kRefuse, true)) {
      close(fd);
      continue;
    }
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    Worker& worker = *workers_[next_worker_++ % workers_.size()];
    auto connection = std::make_shared<Connection>(worker, subsystem_, fd, local_address(fd));
    worker.post([&worker, connection = std::move(connection)]() mutable {
      worker.adopt(std::move(connection));
    });
  }
}

}  // namespace nvublk::target
