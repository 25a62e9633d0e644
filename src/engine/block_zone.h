#pragma once

// What the block seam says of devices that are written zone by zone.

#include <cstdint>

namespace nvublk {

/// The zones of a device, all of one size. `zone_blocks` is 0 for a device without; the other
/// limits are 0 where there is none.
struct BlockZones {
  std::uint64_t zone_blocks = 0;       ///< from one zone to the next
  std::uint32_t max_open = 0;          ///< zones that may be open at once
  std::uint32_t max_active = 0;        ///< zones that may be open or closed with data at once
  std::uint32_t max_append_bytes = 0;  ///< largest BlockOp::kZoneAppend
  bool operator==(const BlockZones&) const = default;
};

/// As in the NVMe and in the kernel's interface.
enum class BlockZoneState : std::uint8_t {
  kEmpty = 0x1,
  kImplicitlyOpen = 0x2,
  kExplicitlyOpen = 0x3,
  kClosed = 0x4,
  kReadOnly = 0xd,
  kFull = 0xe,
  kOffline = 0xf,
};

/// One zone of a report; LBAs and blocks.
struct BlockZone {
  std::uint64_t lba = 0;              ///< of its first block
  std::uint64_t capacity_blocks = 0;  ///< how many of its blocks can be written
  std::uint64_t write_pointer = 0;    ///< means nothing in a full, read-only or offline zone
  BlockZoneState state = BlockZoneState::kEmpty;  ///< what may be done with it
};

/// Room that a report needs in BlockRequest::data for each zone, and once more for the whole.
constexpr std::uint32_t kBlockZoneBytes = 64;
static_assert(sizeof(BlockZone) <= kBlockZoneBytes);

}  // namespace nvublk
