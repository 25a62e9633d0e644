#include "ublk/zone_report.h"

#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace nvublk::ublk {
namespace {

TEST(ZoneReport, IsTurnedIntoTheKernelsInPlace) {
  constexpr std::uint32_t kCount = 5;
  std::vector<std::byte> buffer(kCount * sizeof(abi::Zone), std::byte{0xee});
  for (std::uint32_t i = 0; i < kCount; i++) {
    const BlockZone zone{.lba = 64 * (10 + i),
                         .capacity_blocks = 48,
                         .write_pointer = 64 * (10 + i) + 7,
                         .state = i == 3 ? BlockZoneState::kFull : BlockZoneState::kClosed};
    std::memcpy(buffer.data() + i * sizeof(zone), &zone, sizeof(zone));
  }
  EXPECT_EQ(encode_zones(buffer, kCount, 4096, 64), buffer.size());
  for (std::uint32_t i = 0; i < kCount; i++) {
    abi::Zone zone;
    std::memcpy(&zone, buffer.data() + i * sizeof(zone), sizeof(zone));
    EXPECT_EQ(zone.start, 512 * (10 + i));
    EXPECT_EQ(zone.len, 512U);
    EXPECT_EQ(zone.capacity, 384U);
    EXPECT_EQ(zone.wp, i == 3 ? zone.start + 512 : zone.start + 56);
    EXPECT_EQ(zone.type, abi::kZoneSequentialWriteRequired);
    EXPECT_EQ(zone.cond, i == 3 ? 0xe : 0x4);
    EXPECT_EQ(zone.reset, 0);
  }
}

TEST(ZoneReport, NoneIsNothing) {
  EXPECT_EQ(encode_zones({}, 0, 512, 64), 0U);
}

}  // namespace
}  // namespace nvublk::ublk
