#include "nvme/ip_address.h"

#include <arpa/inet.h>

namespace nvublk::nvme {

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::size_t percent = text.find('%');
  IpAddress address;
  const std::string number(text.substr(0, percent));
  if (number.find('\0') != std::string::npos) return std::nullopt;
  if (percent != std::string_view::npos) {
    address.zone_ = text.substr(percent + 1);
    if (address.zone_.empty()) return std::nullopt;
    for (const char c : address.zone_) {
      if (c <= ' ' || c > '~' || c == '%' || c == '/' || c == ']') return std::nullopt;
    }
  }
  if (inet_pton(AF_INET6, number.c_str(), address.bytes_.data()) == 1) {
    address.ipv6_ = true;
    return address;
  }
  address.bytes_ = {};
  if (address.zone_.empty() && inet_pton(AF_INET, number.c_str(), address.bytes_.data()) == 1) {
    return address;
  }
  return std::nullopt;
}

}  // namespace nvublk::nvme
