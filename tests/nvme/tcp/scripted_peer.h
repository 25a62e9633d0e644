#pragma once

// The other end of a connection, word by word: a listening socket of the test. While it waits it
// turns the client's reactor, so a test is one thread.

#include <cerrno>
#include <span>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "engine/fd.h"
#include "nvme/tcp/controller_pdus.h"
#include "nvme/tcp/queue_client.h"

namespace nvublk::nvme::tcp {

class ScriptedPeer {
 public:
  explicit ScriptedPeer(TestShard& shard, int backlog = 16) : shard_(shard) {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), raw, length), 0);
    EXPECT_EQ(::listen(listener_.get(), backlog), 0);
    EXPECT_EQ(::getsockname(listener_.get(), raw, &length), 0);
    port_ = ntohs(address.sin_port);
  }

  std::uint16_t port() const { return port_; }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  TransportOptions options() const {
    TransportOptions options;
    options.id.traddr = "127.0.0.1";
    options.id.trsvcid = std::to_string(port_);
    return options;
  }

  void accept() {
    shard_.turn_until([this] {
      fd_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      return static_cast<bool>(fd_);
    });
  }
  Bytes receive(std::size_t length) {
    Bytes bytes(length);
    std::size_t done = 0;
    shard_.turn_until([&] {
      const ssize_t n = ::recv(fd_.get(), bytes.data() + done, length - done, 0);
      if (n == 0) closed_ = true;
      done += n > 0 ? static_cast<std::size_t>(n) : 0;
      return done == length || closed_;
    });
    bytes.resize(done);
    return bytes;
  }
  void send(std::span<const std::byte> bytes) {
    shard_.turn_until([&] {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) bytes = bytes.subspan(static_cast<std::size_t>(n));
      return bytes.empty() || (n < 0 && errno != EAGAIN);
    });
  }
  void say(std::string_view text) { send(std::as_bytes(std::span(text))); }
  /// Of the connection that was accepted last.
  std::uint16_t client_port() const {
    sockaddr_in address{};
    socklen_t length = sizeof(address);
    EXPECT_EQ(::getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    return ntohs(address.sin_port);
  }
  bool closed() const { return closed_; }
  void close() { fd_.reset(); }
  /// Closes so that the client gets a reset.
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    fd_.reset();
  }
  void stop_listening() { listener_.reset(); }

  /// Accepts and answers ICReq.
  spec::IcReq handshake(const spec::IcResp& answer = good_answer()) {
    accept();
    const Bytes request = receive(sizeof(spec::IcReq));
    Bytes bytes;
    append(bytes, answer);
    send(bytes);
    return request.size() == sizeof(spec::IcReq) ? take<spec::IcReq>(request) : spec::IcReq{};
  }
  static spec::IcResp good_answer() {
    spec::IcResp answer;
    answer.maxh2cdata = 131072;
    return answer;
  }

 private:
  TestShard& shard_;
  UniqueFd listener_;
  UniqueFd fd_;
  std::uint16_t port_ = 0;
  bool closed_ = false;
};

}  // namespace nvublk::nvme::tcp
