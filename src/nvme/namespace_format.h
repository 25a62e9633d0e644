#pragma once

// What the command sets say of a namespace beyond Identify Namespace, in a form that fits into its
// profile.

#include <cstdint>
#include <optional>

#include "nvme/spec/zoned.h"

namespace nvublk::nvme {

/// Zones of a namespace. [ZNS 1.2 §4.1.5.1]
struct ZonedFormat {
  std::uint64_t zone_blocks = 0;       ///< from one zone to the next
  std::uint32_t extension_bytes = 0;   ///< of a zone's descriptor extension; 0: there is none
  std::uint32_t max_open_zones = 0;    ///< 0: no limit
  std::uint32_t max_active_zones = 0;  ///< 0: no limit
  bool reads_across_zones = false;     ///< a read may go on into the next zone
  bool variable_capacity = false;      ///< zone capacities may change
  bool operator==(const ZonedFormat&) const = default;
};

/// What a namespace is beside its blocks.
struct CommandSetFormat {
  bool protection_asked = false;      ///< whether the controller was asked for what follows
  std::uint8_t guard_bits = 16;       ///< of protection information: 16, 32 or 64; 0: unknown
  std::uint8_t storage_tag_bits = 0;  ///< taken from the reference tag
  bool zones_asked = false;           ///< whether the controller was asked for `zones`
  std::optional<ZonedFormat> zones;   ///< of a zoned namespace
  bool operator==(const CommandSetFormat&) const = default;
};

/// `format` is the index of the LBA format in use; nothing when the zones have no size.
/// [ZNS 1.2 §4.1.5.1]
std::optional<ZonedFormat> zoned_format(const spec::IdentifyNamespaceZoned& data,
                                        std::uint32_t format);

}  // namespace nvublk::nvme
