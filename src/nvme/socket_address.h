#pragma once

// A literal IP address and port as the socket calls want them. Host names are not resolved here:
// that can block, and this runs on shards.

#include <cstdint>
#include <string>
#include <string_view>

#include <sys/socket.h>

#include "engine/error.h"

namespace nvublk::nvme {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length_bytes = 0;

  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

  /// Reads "192.0.2.1" or "2001:db8::1", also "fe80::1%eth0", with `port`. The error says what
  /// is wrong with `address`.
  static Result<SocketAddress> parse(std::string_view address, std::uint16_t port);
  /// Any address of `family`, AF_INET or AF_INET6; without a port.
  static SocketAddress any(int family);
  std::uint16_t port() const;  ///< 0: none
  void set_port(std::uint16_t port);
};

/// Reads a port number, 1 to 65535.
Result<std::uint16_t> parse_port(std::string_view text);

/// "192.0.2.1:4420" or "[2001:db8::1]:4420".
std::string endpoint_text(std::string_view address, std::uint16_t port);

}  // namespace nvublk::nvme
