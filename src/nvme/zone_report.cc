#include "nvme/zone_report.h"

#include <algorithm>
#include <cstring>

namespace nvublk::nvme {

Result<ZoneReportData> decode_zone_report(std::span<const std::byte> data,
                                          std::uint32_t extension_bytes) {
  spec::ZoneReportHeader head;
  if (data.size() < sizeof(head)) {
    return fail(ErrorCode::kProtocol, "a zone report of " + std::to_string(data.size()) +
                                          " bytes is too short for its head");
  }
  std::memcpy(static_cast<void*>(&head), data.data(), sizeof(head));
  data = data.subspan(sizeof(head));
  const std::size_t step = sizeof(spec::ZoneDescriptor) + extension_bytes;
  ZoneReportData report;
  report.zone_count = head.zone_count.get();
  const std::uint64_t count = std::min<std::uint64_t>(data.size() / step, report.zone_count);
  for (std::uint64_t i = 0; i < count; i++) {
    spec::ZoneDescriptor descriptor;
    std::memcpy(static_cast<void*>(&descriptor), data.data(), sizeof(descriptor));
    Zone& zone = report.zones.emplace_back();
    zone.lba = descriptor.zslba.get();
    zone.capacity_blocks = descriptor.zcap.get();
    zone.write_pointer = descriptor.wp.get();
    zone.state = descriptor.state();
    zone.attributes = descriptor.za;
    const auto extension = data.subspan(sizeof(descriptor), extension_bytes);
    if ((zone.attributes & spec::kZoneExtensionValid) != 0) {
      zone.extension.assign(extension.begin(), extension.end());
    }
    data = data.subspan(step);
  }
  return report;
}

}  // namespace nvublk::nvme
