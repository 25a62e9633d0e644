#include "ublk/params.h"

#include <limits>

#include <gtest/gtest.h>

namespace nvublk::ublk {
namespace {

BlockGeometry geometry_of(std::uint32_t block, std::uint64_t blocks) {
  BlockGeometry geometry;
  geometry.block_size_bytes = geometry.physical_block_size_bytes = block;
  geometry.size_blocks = blocks;
  return geometry;
}

constexpr std::uint32_t kMebibyte = 1024 * 1024;

TEST(Params, BufferIsTheLargestTransferWithinTheBudget) {
  struct Case {
    std::uint32_t max_transfer;
    unsigned tags;
    std::uint32_t expected;
  };
  for (const Case& c : {Case{128 * 1024, 128, 128 * 1024}, Case{kMebibyte, 64, kMebibyte},
                        Case{32 * kMebibyte, 64, kMebibyte}, Case{kMebibyte, 128, 512 * 1024},
                        Case{kMebibyte, 2 * 128, 256 * 1024}, Case{kMebibyte, 3 * 128, 128 * 1024},
                        Case{kMebibyte, 8 * 128, 128 * 1024}, Case{kMebibyte, 8 * 1024, 32 * 1024},
                        Case{64 * 1024, 8 * 128, 64 * 1024}, Case{kMebibyte, 4096 * 1024, 4096},
                        Case{kMebibyte, 0, kMebibyte}, Case{5000, 1, 8192}, Case{4096, 1024, 4096},
                        Case{512, 1, 4096}, Case{~0U, 1, kMebibyte}}) {
    BlockGeometry geometry = geometry_of(512, 1);
    geometry.max_transfer_bytes = c.max_transfer;
    EXPECT_EQ(io_buffer_bytes(geometry, c.tags), c.expected)
        << c.max_transfer << " with " << c.tags << " tags";
  }
}

TEST(Params, SizesAreInSectorsOf512Bytes) {
  const auto small = make_params(geometry_of(512, 1000), false, 128 * 1024);
  ASSERT_TRUE(small.has_value());
  EXPECT_EQ(small->basic.logical_bs_shift, 9);
  EXPECT_EQ(small->basic.dev_sectors, 1000U);
  EXPECT_EQ(small->basic.max_sectors, 256U);
  const auto large = make_params(geometry_of(4096, 1000), false, 128 * 1024);
  ASSERT_TRUE(large.has_value());
  EXPECT_EQ(large->basic.logical_bs_shift, 12);
  EXPECT_EQ(large->basic.physical_bs_shift, 12);
  EXPECT_EQ(large->basic.dev_sectors, 8000U);
  EXPECT_EQ(large->basic.max_sectors, 256U);
}

TEST(Params, RequestsAreWholeBlocksAndFitTheBuffer) {
  BlockGeometry geometry = geometry_of(4096, 1000);
  geometry.max_transfer_bytes = 3 * 4096 + 512;
  EXPECT_EQ(make_params(geometry, false, kMebibyte)->basic.max_sectors, 24U);
  geometry.max_transfer_bytes = kMebibyte;
  EXPECT_EQ(make_params(geometry, false, 8192)->basic.max_sectors, 16U);
}

TEST(Params, PhysicalBlockAndOptimalSizeAreNeverBelowTheLogicalBlock) {
  struct Case {
    std::uint32_t physical, optimal;
    int physical_shift, optimal_shift;
  };
  for (const Case& c : {Case{4096, 0, 12, 12}, Case{512, 131072, 9, 17}, Case{256, 0, 9, 9},
                        Case{3000, 100000, 9, 9}, Case{4096, 512, 12, 12}}) {
    BlockGeometry geometry = geometry_of(512, 1000);
    geometry.physical_block_size_bytes = c.physical;
    geometry.optimal_io_size_bytes = c.optimal;
    const auto params = make_params(geometry, false, 65536);
    ASSERT_TRUE(params.has_value());
    EXPECT_EQ(params->basic.physical_bs_shift, c.physical_shift);
    EXPECT_EQ(params->basic.io_min_shift, c.physical_shift);
    EXPECT_EQ(params->basic.io_opt_shift, c.optimal_shift);
  }
}

TEST(Params, BoundaryIsPassedOnIfItIsAPowerOfTwo) {
  BlockGeometry geometry = geometry_of(4096, 100000);
  geometry.boundary_blocks = 32;
  EXPECT_EQ(make_params(geometry, false, 65536)->basic.chunk_sectors, 256U);
  geometry.boundary_blocks = 33;
  EXPECT_EQ(make_params(geometry, false, 65536)->basic.chunk_sectors, 0U);
  geometry.boundary_blocks = 1U << 31;
  EXPECT_EQ(make_params(geometry, false, 65536)->basic.chunk_sectors % 8, 0U);
}

TEST(Params, AttributesSayWhatTheCacheDoes) {
  struct Case {
    bool cache, fua, ro_device, ro_option;
    std::uint32_t attrs;
  };
  for (const Case& c :
       {Case{false, false, false, false, 0},
        Case{true, false, false, false, abi::kAttrVolatileCache},
        Case{true, true, false, false, abi::kAttrVolatileCache | abi::kAttrFua},
        Case{false, true, false, false, 0}, Case{false, false, true, false, abi::kAttrReadOnly},
        Case{false, false, false, true, abi::kAttrReadOnly}}) {
    BlockGeometry geometry = geometry_of(512, 8);
    geometry.volatile_write_cache = c.cache;
    geometry.fua = c.fua;
    geometry.read_only = c.ro_device;
    EXPECT_EQ(make_params(geometry, c.ro_option, 65536)->basic.attrs, c.attrs);
  }
}

TEST(Params, DiscardAndWriteZeroesAreOfferedAsTheDeviceHasThem) {
  BlockGeometry geometry = geometry_of(4096, 100000);
  const auto none = make_params(geometry, false, 65536);
  EXPECT_EQ(none->types, abi::kParamBasic);

  geometry.max_write_zeroes_blocks = 100;
  const auto zeroes = make_params(geometry, false, 65536);
  EXPECT_EQ(zeroes->types, abi::kParamBasic | abi::kParamDiscard);
  EXPECT_EQ(zeroes->discard.max_write_zeroes_sectors, 800U);
  EXPECT_EQ(zeroes->discard.max_discard_sectors, 0U);
  EXPECT_EQ(zeroes->discard.max_discard_segments, 0U);
  EXPECT_EQ(zeroes->discard.discard_granularity, 4096U);

  geometry.max_discard_blocks = std::numeric_limits<std::uint32_t>::max();
  geometry.discard_granularity_bytes = 65536;
  geometry.discard_alignment_bytes = 4096;
  const auto both = make_params(geometry, false, 65536);
  EXPECT_EQ(both->discard.max_discard_segments, 1U);
  EXPECT_EQ(both->discard.max_discard_sectors, 8388600U);
  EXPECT_EQ(both->discard.discard_granularity, 65536U);
  EXPECT_EQ(both->discard.discard_alignment, 4096U);
}

TEST(Params, RefusesWhatLinuxCannotHave) {
  for (const std::uint32_t block : {0U, 1U, 256U, 520U, 4160U, 8192U}) {
    EXPECT_FALSE(make_params(geometry_of(block, 8), false, 65536).has_value()) << block;
  }
  EXPECT_FALSE(make_params(geometry_of(512, 0), false, 65536).has_value());
  EXPECT_FALSE(make_params(geometry_of(4096, 1ULL << 52), false, 65536).has_value());
  BlockGeometry tiny = geometry_of(512, 8);
  tiny.max_transfer_bytes = 2048;
  EXPECT_FALSE(make_params(tiny, false, 4096).has_value());
}

TEST(Params, ADeviceGoesOnOnlyWithLimitsAsGoodAsThoseItWasMadeWith) {
  BlockGeometry made = geometry_of(512, 1000);
  made.max_transfer_bytes = kMebibyte;
  made.max_discard_blocks = made.max_write_zeroes_blocks = 100;
  const auto then = make_params(made, false, kMebibyte);
  ASSERT_TRUE(then.has_value());
  const auto compatible = [&](const auto& change) {
    BlockGeometry now = made;
    change(now);
    return check_compatible(*then, *make_params(now, false, kMebibyte)).has_value();
  };
  EXPECT_TRUE(compatible([](BlockGeometry&) {}));
  EXPECT_TRUE(compatible([](BlockGeometry& now) { now.size_blocks = 10; }));
  EXPECT_TRUE(compatible([](BlockGeometry& now) { now.max_discard_blocks = 200; }));
  EXPECT_FALSE(compatible([](BlockGeometry& now) { now.block_size_bytes = 4096; }));
  EXPECT_FALSE(compatible([](BlockGeometry& now) { now.max_transfer_bytes = 4096; }));
  EXPECT_FALSE(compatible([](BlockGeometry& now) { now.volatile_write_cache = true; }));
  EXPECT_FALSE(compatible([](BlockGeometry& now) { now.max_discard_blocks = 50; }));
  EXPECT_FALSE(compatible([](BlockGeometry& now) { now.max_write_zeroes_blocks = 0; }));
}

BlockGeometry zoned_geometry() {
  BlockGeometry geometry = geometry_of(4096, 1024);
  geometry.max_transfer_bytes = kMebibyte;
  geometry.boundary_blocks = 32;
  geometry.zones = {
      .zone_blocks = 64, .max_open = 3, .max_active = 2, .max_append_bytes = 128 * 1024};
  return geometry;
}

TEST(Params, ZonesAreInSectorsAndWithinTheirLimits) {
  const BlockGeometry geometry = zoned_geometry();
  const auto params = make_params(geometry, false, kMebibyte);
  ASSERT_TRUE(params.has_value());
  EXPECT_EQ(params->len, abi::kZonedParamsLength);
  EXPECT_NE(params->types & abi::kParamZoned, 0U);
  EXPECT_EQ(params->basic.chunk_sectors, 512U) << "the zone, not the boundary";
  EXPECT_EQ(params->zoned.max_active_zones, 2U);
  EXPECT_EQ(params->zoned.max_open_zones, 2U) << "the kernel refuses more open than active ones";
  EXPECT_EQ(params->zoned.max_zone_append_sectors, 256U);

  BlockGeometry wide = geometry;
  wide.zones.max_open = wide.zones.max_active = 16;  // all there are
  wide.zones.max_append_bytes = 16 * kMebibyte;
  const auto unlimited = make_params(wide, false, 65536);
  ASSERT_TRUE(unlimited.has_value());
  EXPECT_EQ(unlimited->zoned.max_active_zones, 0U);
  EXPECT_EQ(unlimited->zoned.max_open_zones, 0U);
  EXPECT_EQ(unlimited->zoned.max_zone_append_sectors, 128U) << "what a tag's buffer holds";

  for (const std::uint64_t zone_blocks : {63ULL, 2048ULL, 1ULL << 40}) {
    BlockGeometry odd = geometry;
    odd.zones.zone_blocks = zone_blocks;
    EXPECT_FALSE(make_params(odd, false, kMebibyte).has_value()) << zone_blocks;
  }
}

TEST(Params, AZonedDeviceGoesOnWithTheSameZonesOnly) {
  const auto then = make_params(zoned_geometry(), false, kMebibyte);
  const auto plain = make_params(geometry_of(4096, 1024), false, kMebibyte);
  ASSERT_TRUE(then.has_value());
  ASSERT_TRUE(plain.has_value());
  EXPECT_TRUE(check_compatible(*then, *then).has_value());
  EXPECT_FALSE(check_compatible(*plain, *then).has_value());
  BlockGeometry other = zoned_geometry();
  other.zones.zone_blocks = 128;
  EXPECT_FALSE(check_compatible(*then, *make_params(other, false, kMebibyte)).has_value());
  other = zoned_geometry();
  other.zones.max_append_bytes = 4096;
  EXPECT_FALSE(check_compatible(*then, *make_params(other, false, kMebibyte)).has_value());
}

}  // namespace
}  // namespace nvublk::ublk
