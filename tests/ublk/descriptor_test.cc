#include "ublk/descriptor.h"

#include <cerrno>
#include <random>

#include <gtest/gtest.h>

namespace nvublk::ublk {
namespace {

RequestLimits limits_of(std::uint32_t block) {
  RequestLimits limits;
  limits.block_size_bytes = block;
  limits.size_blocks = 1000;
  limits.max_transfer_bytes = 16 * block;
  limits.max_discard_blocks = 500;
  limits.max_write_zeroes_blocks = 100;
  return limits;
}

abi::IoDescriptor descriptor_of(std::uint32_t op_flags, std::uint64_t sector,
                                std::uint32_t sectors) {
  return {op_flags, sectors, sector, 0};
}

TEST(Descriptor, ReadAndWriteOfSmallAndLargeBlocks) {
  BlockRequest request;
  EXPECT_EQ(decode(descriptor_of(abi::kOpRead, 10, 4), limits_of(512), request), 0);
  EXPECT_EQ(request.op, BlockOp::kRead);
  EXPECT_EQ(request.lba, 10U);
  EXPECT_EQ(request.blocks, 4U);
  EXPECT_EQ(decode(descriptor_of(abi::kOpWrite, 16, 32), limits_of(4096), request), 0);
  EXPECT_EQ(request.op, BlockOp::kWrite);
  EXPECT_EQ(request.lba, 2U);
  EXPECT_EQ(request.blocks, 4U);
  EXPECT_FALSE(request.fua);
}

TEST(Descriptor, FlagsAreBitsOfTheWholeWord) {
  BlockRequest request;
  EXPECT_EQ(decode(descriptor_of(abi::kOpWrite | 1U << 13, 0, 1), limits_of(512), request), 0);
  EXPECT_TRUE(request.fua);
  EXPECT_EQ(decode(descriptor_of(abi::kOpWriteZeroes | 1U << 15, 0, 1), limits_of(512), request),
            0);
  EXPECT_FALSE(request.fua);
  EXPECT_TRUE(request.no_unmap);
  // FAILFAST, META and SWAP mean nothing to us, and nothing is left over from the request before.
  EXPECT_EQ(decode(descriptor_of(abi::kOpWriteZeroes | 0x11f00, 0, 1), limits_of(512), request), 0);
  EXPECT_FALSE(request.fua);
  EXPECT_FALSE(request.no_unmap);
}

TEST(Descriptor, FlushNeedsNoRange) {
  BlockRequest request;
  EXPECT_EQ(decode(descriptor_of(abi::kOpFlush, ~0ULL, 77), limits_of(512), request), 0);
  EXPECT_EQ(request.op, BlockOp::kFlush);
  EXPECT_EQ(request.blocks, 0U);
}

TEST(Descriptor, RefusesWhatIsOutsideTheDeviceOrTheLimits) {
  struct Case {
    std::uint32_t op;
    std::uint64_t sector;
    std::uint32_t sectors;
    int error;
  };
  BlockRequest request;
  for (const Case& c : {
           Case{abi::kOpRead, 999, 1, 0},
           Case{abi::kOpRead, 1000, 1, EINVAL},
           Case{abi::kOpRead, 999, 2, EINVAL},
           Case{abi::kOpRead, ~0ULL, 2, EINVAL},
           Case{abi::kOpRead, ~0ULL - 1, 0xffffffff, EINVAL},
           Case{abi::kOpRead, 0, 0, EINVAL},
           Case{abi::kOpRead, 0, 16, 0},
           Case{abi::kOpRead, 0, 17, EINVAL},
           Case{abi::kOpWrite, 0, 0xffffffff, EINVAL},
           Case{abi::kOpDiscard, 0, 500, 0},
           Case{abi::kOpDiscard, 0, 501, EINVAL},
           Case{abi::kOpWriteZeroes, 0, 100, 0},
           Case{abi::kOpWriteZeroes, 0, 101, EINVAL},
           Case{abi::kOpWriteSame, 0, 1, EOPNOTSUPP},
           Case{10, 0, 1, EOPNOTSUPP},
           Case{0xff, 0, 1, EOPNOTSUPP},
       }) {
    EXPECT_EQ(decode(descriptor_of(c.op, c.sector, c.sectors), limits_of(512), request), c.error)
        << c.op << " " << c.sector << " " << c.sectors;
  }
}

TEST(Descriptor, RefusesPartsOfALargeBlock) {
  BlockRequest request;
  EXPECT_EQ(decode(descriptor_of(abi::kOpRead, 1, 8), limits_of(4096), request), EINVAL);
  EXPECT_EQ(decode(descriptor_of(abi::kOpRead, 8, 7), limits_of(4096), request), EINVAL);
}

TEST(Descriptor, AReadOnlyDeviceIsOnlyRead) {
  RequestLimits limits = limits_of(512);
  limits.read_only = true;
  BlockRequest request;
  EXPECT_EQ(decode(descriptor_of(abi::kOpRead, 0, 1), limits, request), 0);
  EXPECT_EQ(decode(descriptor_of(abi::kOpFlush, 0, 0), limits, request), 0);
  for (const std::uint32_t op : {abi::kOpWrite, abi::kOpDiscard, abi::kOpWriteZeroes}) {
    EXPECT_EQ(decode(descriptor_of(op, 0, 1), limits, request), EROFS);
  }
}

TEST(Descriptor, NoNonsenseGetsThrough) {
  std::mt19937_64 random(42);
  const RequestLimits limits = limits_of(4096);
  BlockRequest request;
  for (int i = 0; i < 200'000; i++) {
    // Mostly small numbers, so that some requests are good.
    const auto number = [&] { return random() >> (random() % 64); };
    const abi::IoDescriptor nonsense{static_cast<std::uint32_t>(number()),
                                     static_cast<std::uint32_t>(number()), number(), random()};
    if (decode(nonsense, limits, request) != 0 || request.op == BlockOp::kFlush) {
      continue;
    }
    ASSERT_GT(request.blocks, 0U);
    ASSERT_LE(request.lba + request.blocks, limits.size_blocks);
    if (request.op == BlockOp::kRead || request.op == BlockOp::kWrite) {
      ASSERT_LE(request.blocks * 4096, limits.max_transfer_bytes);
    }
  }
}

RequestLimits zoned_limits() {
  RequestLimits limits = limits_of(4096);
  limits.zone_blocks = 64;
  limits.max_append_bytes = 8 * 4096;
  return limits;
}

TEST(Descriptor, ZonesAreNamedByTheirFirstBlock) {
  struct Case {
    std::uint32_t op;
    BlockOp want;
  };
  BlockRequest request;
  for (const Case& c :
       {Case{abi::kOpZoneOpen, BlockOp::kZoneOpen}, Case{abi::kOpZoneClose, BlockOp::kZoneClose},
        Case{abi::kOpZoneFinish, BlockOp::kZoneFinish},
        Case{abi::kOpZoneReset, BlockOp::kZoneReset}}) {
    EXPECT_EQ(decode(descriptor_of(c.op, 64 * 8, 0), zoned_limits(), request), 0);
    EXPECT_EQ(request.op, c.want);
    EXPECT_EQ(request.lba, 64U);
    EXPECT_EQ(decode(descriptor_of(c.op, 65 * 8, 0), zoned_limits(), request), EINVAL);
    EXPECT_EQ(decode(descriptor_of(c.op, 64 * 8 + 1, 0), zoned_limits(), request), EINVAL);
    EXPECT_EQ(decode(descriptor_of(c.op, 1024 * 8, 0), zoned_limits(), request), EINVAL);
    EXPECT_EQ(decode(descriptor_of(c.op, 64 * 8, 0), limits_of(4096), request), EOPNOTSUPP);
    RequestLimits read_only = zoned_limits();
    read_only.read_only = true;
    EXPECT_EQ(decode(descriptor_of(c.op, 64 * 8, 0), read_only, request), EROFS);
  }
  EXPECT_EQ(decode(descriptor_of(abi::kOpZoneResetAll, ~0ULL, 0), zoned_limits(), request), 0);
  EXPECT_EQ(request.op, BlockOp::kZoneResetAll);
  EXPECT_EQ(decode(descriptor_of(16, 0, 0), zoned_limits(), request), EOPNOTSUPP);
}

TEST(Descriptor, AppendsAndReportsAreWithinTheirLimits) {
  BlockRequest request;
  EXPECT_EQ(decode(descriptor_of(abi::kOpZoneAppend | abi::kIoFlagFua, 64 * 8, 64), zoned_limits(),
                   request),
            0);
  EXPECT_EQ(request.op, BlockOp::kZoneAppend);
  EXPECT_EQ(request.blocks, 8U);
  EXPECT_TRUE(request.fua);
  EXPECT_EQ(decode(descriptor_of(abi::kOpZoneAppend, 64 * 8, 72), zoned_limits(), request), EINVAL);

  EXPECT_EQ(decode(descriptor_of(abi::kOpReportZones, 128 * 8, 5), zoned_limits(), request), 0);
  EXPECT_EQ(request.op, BlockOp::kZoneReport);
  EXPECT_EQ(request.lba, 128U);
  EXPECT_EQ(request.blocks, 5U);
  EXPECT_EQ(decode(descriptor_of(abi::kOpReportZones, 0, ~0U), zoned_limits(), request), 0);
  EXPECT_EQ(request.blocks, 16 * 4096 / 64 - 1U) << "as many as the buffer holds";
  EXPECT_EQ(decode(descriptor_of(abi::kOpReportZones, 0, 0), zoned_limits(), request), EINVAL);
  EXPECT_EQ(decode(descriptor_of(abi::kOpReportZones, 1000 * 8, 1), zoned_limits(), request),
            EINVAL);
}

}  // namespace
}  // namespace nvublk::ublk
