#include "nvme/io_split.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace nvublk::nvme {
namespace {

struct Cut {
  std::uint64_t lba;
  std::uint32_t blocks;
  bool operator==(const Cut&) const = default;
};

void PrintTo(const Cut& cut, std::ostream* out) {
  *out << cut.blocks << " at " << cut.lba;
}

iovec segment(std::uintptr_t address, std::size_t length) {
  return {reinterpret_cast<void*>(address), length};
}

std::vector<Cut> cuts(const SplitLimits& limits, std::uint64_t lba, std::uint64_t blocks,
                      const std::vector<iovec>& iov, bool* impossible = nullptr) {
  IoSplitter splitter(limits, lba, blocks, iov);
  std::vector<Cut> result;
  std::uint64_t bytes = 0;
  while (const auto piece = splitter.next()) {
    result.push_back({piece->lba, piece->blocks});
    std::vector<iovec> segments;
    copy_segments(iov, *piece, segments);
    std::uint64_t length = 0;
    for (const iovec& each : segments) length += each.iov_len;
    EXPECT_EQ(length, piece->length_bytes);
    EXPECT_TRUE(limits.max_segments == 0 || segments.size() <= limits.max_segments);
    bytes += length;
  }
  if (impossible != nullptr) {
    *impossible = splitter.impossible();
  } else {
    EXPECT_FALSE(splitter.impossible());
    EXPECT_EQ(bytes, blocks * limits.block_bytes);
  }
  return result;
}

TEST(IoSplit, ARequestThatFitsStaysWhole) {
  EXPECT_EQ(cuts({}, 7, 8, {segment(0x1000, 4096)}), (std::vector<Cut>{{7, 8}}));
}

TEST(IoSplit, ByTransferLimit) {
  SplitLimits limits;
  limits.max_blocks = 3;
  EXPECT_EQ(cuts(limits, 10, 8, {segment(0x1000, 4096)}),
            (std::vector<Cut>{{10, 3}, {13, 3}, {16, 2}}));
}

TEST(IoSplit, AtABoundaryThatIsNoPowerOfTwo) {
  SplitLimits limits;
  limits.boundary_blocks = 6;
  EXPECT_EQ(cuts(limits, 4, 10, {segment(0x1000, 5120)}),
            (std::vector<Cut>{{4, 2}, {6, 6}, {12, 2}}));
}

TEST(IoSplit, TheSmallerOfBoundaryAndLimitDecides) {
  SplitLimits limits;
  limits.boundary_blocks = 8;
  limits.max_blocks = 3;
  EXPECT_EQ(cuts(limits, 6, 10, {segment(0x1000, 5120)}),
            (std::vector<Cut>{{6, 2}, {8, 3}, {11, 3}, {14, 2}}));
}

TEST(IoSplit, BySegmentCountInWholeBlocks) {
  SplitLimits limits;
  limits.max_segments = 2;
  // 256 bytes at a time: two segments are one block.
  std::vector<iovec> iov;
  for (std::uintptr_t i = 0; i < 8; i++) iov.push_back(segment(0x1000 * (i + 1), 256));
  EXPECT_EQ(cuts(limits, 0, 4, iov), (std::vector<Cut>{{0, 1}, {1, 1}, {2, 1}, {3, 1}}));
  // One and a half blocks in each: the rest goes with the next command.
  iov = {segment(0x1000, 768), segment(0x2000, 768), segment(0x3000, 768), segment(0x4000, 768)};
  EXPECT_EQ(cuts(limits, 0, 6, iov), (std::vector<Cut>{{0, 3}, {3, 3}}));
}

TEST(IoSplit, TooManySegmentsForABlockCannotBeExpressed) {
  SplitLimits limits;
  limits.max_segments = 2;
  bool impossible = false;
  EXPECT_TRUE(cuts(limits, 0, 1, {segment(0x1000, 100), segment(0x2000, 100), segment(0x3000, 312)},
                   &impossible)
                  .empty());
  EXPECT_TRUE(impossible);
}

TEST(IoSplit, PrpSegmentsBeginAndEndAtPages) {
  SplitLimits limits;
  limits.prp = true;
  // The first may begin anywhere, the last may end anywhere.
  EXPECT_EQ(cuts(limits, 0, 12, {segment(0x1800, 2048), segment(0x4000, 4096)}),
            (std::vector<Cut>{{0, 12}}));
  // A segment in the middle that ends inside a page is the last of its command.
  EXPECT_EQ(cuts(limits, 0, 12, {segment(0x1000, 2048), segment(0x4000, 4096)}),
            (std::vector<Cut>{{0, 4}, {4, 8}}));
  // One that begins inside a page is the first of the next command.
  EXPECT_EQ(cuts(limits, 0, 12, {segment(0x1000, 4096), segment(0x4200, 2048)}),
            (std::vector<Cut>{{0, 8}, {8, 4}}));
}

TEST(IoSplit, ABlockAcrossMisalignedPrpSegmentsCannotBeExpressed) {
  SplitLimits limits;
  limits.prp = true;
  bool impossible = false;
  EXPECT_EQ(cuts(limits, 0, 2, {segment(0x1000, 768), segment(0x2000, 256)}, &impossible),
            (std::vector<Cut>{{0, 1}}));
  EXPECT_TRUE(impossible);
}

TEST(IoSplit, EmptySegmentsDoNotMatter) {
  SplitLimits limits;
  limits.prp = true;
  limits.max_segments = 1;
  EXPECT_EQ(cuts(limits, 0, 2, {segment(0x1001, 0), segment(0x2000, 1024), segment(0x3001, 0)}),
            (std::vector<Cut>{{0, 2}}));
}

TEST(IoSplit, ABoundaryOfOneBlock) {
  SplitLimits limits;
  limits.boundary_blocks = 1;
  EXPECT_EQ(cuts(limits, 9, 3, {segment(0x1000, 1536)}),
            (std::vector<Cut>{{9, 1}, {10, 1}, {11, 1}}));
}

TEST(IoSplit, AtTheEndOfTheLbaSpace) {
  SplitLimits limits;
  limits.boundary_blocks = 7;
  const std::uint64_t lba = ~0ull - 4;
  std::uint64_t blocks = 0;
  for (const Cut& cut : cuts(limits, lba, 4, {segment(0x1000, 2048)})) {
    EXPECT_EQ(cut.lba, lba + blocks);
    blocks += cut.blocks;
  }
  EXPECT_EQ(blocks, 4u);
}

TEST(IoSplit, ExtendedBlocksAreCutInWholeBlocks) {
  SplitLimits limits;
  limits.block_bytes = 520;
  limits.max_segments = 1;
  const std::vector<iovec> iov = {segment(0x1000, 1040 + 100), segment(0x9000, 420 + 520)};
  bool impossible = false;
  EXPECT_EQ(cuts(limits, 0, 4, iov, &impossible), (std::vector<Cut>{{0, 2}}));
  EXPECT_TRUE(impossible) << "the third is in two segments";
  limits.max_segments = 2;
  EXPECT_EQ(cuts(limits, 0, 4, iov), (std::vector<Cut>{{0, 4}}));
}

TEST(IoSplit, PrpPagesMayBeLarger) {
  SplitLimits limits;
  limits.prp = true;
  limits.page_bytes = 8192;
  EXPECT_EQ(cuts(limits, 0, 16, {segment(0x1000, 4096), segment(0x4000, 4096)}),
            (std::vector<Cut>{{0, 16}}));
  EXPECT_EQ(cuts(limits, 0, 16, {segment(0x2000, 4096), segment(0x4000, 4096)}),
            (std::vector<Cut>{{0, 8}, {8, 8}}));
}

TEST(IoSplit, AllRulesAtOnce) {
  SplitLimits limits;
  limits.max_blocks = 6;
  limits.boundary_blocks = 10;
  limits.max_segments = 2;
  std::vector<iovec> iov;
  for (std::uintptr_t i = 0; i < 12; i++) iov.push_back(segment(0x10000 * (i + 1), 1024));
  // Two blocks a segment: at most four a command; and 8 to 10, 18 to 20 end at a boundary.
  EXPECT_EQ(
      cuts(limits, 8, 24, iov),
      (std::vector<Cut>{{8, 2}, {10, 4}, {14, 4}, {18, 2}, {20, 4}, {24, 4}, {28, 2}, {30, 2}}));
}

TEST(IoSplit, WithoutDataOnlyTheRangeIsCut) {
  SplitLimits limits;
  limits.block_bytes = 0;
  EXPECT_EQ(cuts(limits, 0, 70000, {}), (std::vector<Cut>{{0, 65536}, {65536, 4464}}));
}

}  // namespace
}  // namespace nvublk::nvme
