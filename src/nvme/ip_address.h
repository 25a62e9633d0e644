#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nvublk::nvme {

/// An IP address as its bytes, so that its textual variants compare equal. IPv6 may have a zone
/// ("fe80::1%eth0").
class IpAddress {
 public:
  /// Nothing when `text` is not a literal address (it may be a host name). IPv4 needs four decimal
  /// numbers.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_ipv6() const { return ipv6_; }

  friend std::strong_ordering operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  bool ipv6_ = false;
  std::array<std::uint8_t, 16> bytes_{};  ///< IPv4 uses the first 4
  std::string zone_;
};

}  // namespace nvublk::nvme
