#include "nvme/socket_address.h"

#include <charconv>
#include <cstring>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

namespace nvublk::nvme {

namespace {

// The zone of a link-local address: an interface's name or its number.
Result<std::uint32_t> parse_zone(const std::string& zone) {
  if (const unsigned index = ::if_nametoindex(zone.c_str()); index != 0) {
    return index;
  }
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(zone.data(), zone.data() + zone.size(), number);
  if (error != std::errc{} || end != zone.data() + zone.size() || number == 0) {
    return fail(ErrorCode::kNotFound, "there is no network interface \"" + zone + "\"");
  }
  return number;
}

template <typename Family>
SocketAddress pack(const Family& address) {
  SocketAddress packed;
  std::memcpy(&packed.storage, &address, sizeof(address));
  packed.length_bytes = sizeof(address);
  return packed;
}

}  // namespace

Result<SocketAddress> SocketAddress::parse(std::string_view address, std::uint16_t port) {
  const std::string text(address);
  sockaddr_in ipv4{};
  if (::inet_pton(AF_INET, text.c_str(), &ipv4.sin_addr) == 1) {
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(port);
    return pack(ipv4);
  }
  const std::size_t percent = text.find('%');
  sockaddr_in6 ipv6{};
  if (::inet_pton(AF_INET6, text.substr(0, percent).c_str(), &ipv6.sin6_addr) == 1) {
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(port);
    if (percent != std::string::npos) {
      const Result<std::uint32_t> zone = parse_zone(text.substr(percent + 1));
      if (!zone) {
        return std::unexpected(zone.error());
      }
      ipv6.sin6_scope_id = *zone;
    } else if (IN6_IS_ADDR_LINKLOCAL(&ipv6.sin6_addr)) {
      return fail(ErrorCode::kInvalidArgument, "the link-local address " + text +
                                                   " needs an interface, as in " + text + "%eth0");
    }
    return pack(ipv6);
  }
  return fail(ErrorCode::kInvalidArgument, "\"" + text +
                                               "\" is not an IPv4 or IPv6 address; a host name "
                                               "has to be resolved first");
}

SocketAddress SocketAddress::any(int family) {
  SocketAddress address;
  address.storage.ss_family = static_cast<sa_family_t>(family);
  address.length_bytes = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  return address;
}

std::uint16_t SocketAddress::port() const {
  return family() == AF_INET6 ? ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port)
                              : ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

void SocketAddress::set_port(std::uint16_t port) {
  if (family() == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in*>(&storage)->sin_port = htons(port);
  }
}

Result<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) {
    return fail(ErrorCode::kInvalidArgument,
                "\"" + std::string(text) + "\" is not a port; it must be 1 to 65535");
  }
  return port;
}

std::string endpoint_text(std::string_view address, std::uint16_t port) {
  const bool ipv6 = address.find(':') != std::string_view::npos;
  std::string text = ipv6 ? "[" : "";
  text += address;
  text += ipv6 ? "]:" : ":";
  return text + std::to_string(port);
}

}  // namespace nvublk::nvme
