#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace nvublk::nvme {

/// Where a PCI function is.
struct PciAddress {
  std::uint32_t domain = 0;  ///< above 0xffff for VMD
  std::uint8_t bus = 0;
  std::uint8_t device = 0;    ///< 0 to 31
  std::uint8_t function = 0;  ///< 0 to 7

  /// Reads "DDDD:BB:DD.F" and "BB:DD.F", in hexadecimal; a '.' may stand for each ':', and without
  /// ".F" the function is 0.
  static Result<PciAddress> parse(std::string_view text);

  /// "0000:01:00.0", as sysfs writes it.
  std::string to_string() const;

  friend auto operator<=>(const PciAddress&, const PciAddress&) = default;
};

}  // namespace nvublk::nvme
