#include "nvme/namespace_format.h"

namespace nvublk::nvme {

std::optional<ZonedFormat> zoned_format(const spec::IdentifyNamespaceZoned& data,
                                        std::uint32_t format) {
  const spec::ZonedLbaFormat& current = data.lbafe.at(format);
  if (current.zsze.get() == 0) {
    return std::nullopt;
  }
  ZonedFormat zones;
  zones.zone_blocks = current.zsze.get();
  zones.extension_bytes = current.zdes * 64u;
  zones.max_open_zones = data.max_open_zones();
  zones.max_active_zones = data.max_active_zones();
  zones.reads_across_zones = data.reads_across_zones();
  zones.variable_capacity = data.variable_capacity();
  return zones;
}

}  // namespace nvublk::nvme
