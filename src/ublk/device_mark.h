#pragma once

// What our devices carry in DeviceInfo::ublksrv_flags, which the kernel keeps for their servers:
// that they are ours, which daemon's, and a key that tells a device from others that had its number
// before. Pure.

#include <cstdint>
#include <optional>
#include <string_view>

namespace nvublk::ublk {

struct DeviceMark {
  std::uint16_t owner = 0;  ///< owner_of() the daemon
  std::uint16_t key = 0;    ///< never 0

  std::uint64_t flags() const;
  /// nullopt: the device is another program's.
  static std::optional<DeviceMark> read(std::uint64_t flags);
  bool operator==(const DeviceMark&) const = default;
};

/// Tells the daemons of a machine apart, by their run directories.
std::uint16_t owner_of(std::string_view run_directory);

/// A key for a new device.
std::uint16_t make_key();

}  // namespace nvublk::ublk
