#include "ublk/zone_report.h"

#include <cstring>
#include <utility>

#include "engine/check.h"

namespace nvublk::ublk {

namespace {

abi::Zone encode(const BlockZone& zone, std::uint64_t zone_blocks, std::uint64_t block_sectors) {
  abi::Zone out{};
  out.start = zone.lba * block_sectors;
  out.len = zone_blocks * block_sectors;
  // Like the kernel's own drivers: a full zone's pointer is at its end.
  out.wp = zone.state == BlockZoneState::kFull ? out.start + out.len
                                               : zone.write_pointer * block_sectors;
  out.type = abi::kZoneSequentialWriteRequired;
  out.cond = std::to_underlying(zone.state);
  out.capacity = zone.capacity_blocks * block_sectors;
  return out;
}

}  // namespace

std::size_t encode_zones(std::span<std::byte> buffer, std::uint32_t count,
                         std::uint32_t block_size_bytes, std::uint64_t zone_blocks) {
  static_assert(sizeof(BlockZone) <= sizeof(abi::Zone));
  CHECK(count <= buffer.size() / sizeof(abi::Zone));
  // From the last one: the kernel's are larger.
  for (std::uint32_t i = count; i-- > 0;) {
    BlockZone zone;
    std::memcpy(&zone, buffer.data() + i * sizeof(zone), sizeof(zone));
    const abi::Zone encoded = encode(zone, zone_blocks, block_size_bytes / abi::kSectorBytes);
    std::memcpy(buffer.data() + i * sizeof(encoded), &encoded, sizeof(encoded));
  }
  return count * sizeof(abi::Zone);
}

}  // namespace nvublk::ublk
