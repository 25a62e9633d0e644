#pragma once

// Reads what Zone Management Receive returns. [ZNS 1.2 §3.4.2.2]

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/error.h"
#include "nvme/spec/zoned.h"

namespace nvublk::nvme {

/// One zone; all in blocks.
struct Zone {
  std::uint64_t lba = 0;              ///< of its first block
  std::uint64_t capacity_blocks = 0;  ///< how many of its blocks can be written
  std::uint64_t write_pointer = 0;  ///< an LBA; means nothing in a full, read-only or offline zone
  spec::ZoneState state = spec::ZoneState::kEmpty;  ///< what may be done with it
  std::uint8_t attributes = 0;                      ///< ZA; kZoneExtensionValid is a bit of it
  std::vector<std::byte> extension;                 ///< empty unless it was asked for and is valid
};

/// What a report says.
struct ZoneReportData {
  /// Of a partial report how many descriptors there are, else how many zones match from the first
  /// one on.
  std::uint64_t zone_count = 0;
  std::vector<Zone> zones;  ///< those whose descriptors were transferred whole
};

/// `data`: what was transferred. `extension_bytes`: behind each descriptor, 0 unless the report was
/// an extended one. Too few bytes for its head are a protocol error.
Result<ZoneReportData> decode_zone_report(std::span<const std::byte> data,
                                          std::uint32_t extension_bytes);

}  // namespace nvublk::nvme
