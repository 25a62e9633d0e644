#include "engine/dma_memory.h"

#include <algorithm>
#include <utility>

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace nvublk {
namespace {

bool all_zero(const DmaRegion& region) {
  return std::ranges::all_of(region.span(), [](std::byte b) { return b == std::byte{0}; });
}

bool page_aligned(const DmaRegion& region) {
  return reinterpret_cast<std::uintptr_t>(region.data()) % 4096 == 0;
}

TEST(DmaRegion, IsZeroedAlignedAndAtLeastAsLongAsAskedFor) {
  for (const std::size_t length : {std::size_t{1}, std::size_t{4096}, std::size_t{4097},
                                   std::size_t{1} << 20, (std::size_t{3} << 20) + 1}) {
    const Result<DmaRegion> region = DmaRegion::allocate(length);
    ASSERT_TRUE(region) << region.error().text;
    EXPECT_GE(region->size_bytes(), length);
    EXPECT_EQ(region->size_bytes() % 4096, 0U);
    EXPECT_TRUE(page_aligned(*region));
    EXPECT_TRUE(all_zero(*region));
  }
}

TEST(DmaRegion, MovesItsMemory) {
  Result<DmaRegion> first = DmaRegion::allocate(4096);
  ASSERT_TRUE(first);
  std::byte* memory = first->data();
  DmaRegion second(std::move(*first));
  EXPECT_EQ(second.data(), memory);
  EXPECT_EQ(first->data(), nullptr);
  EXPECT_EQ(first->size_bytes(), 0U);
  DmaRegion third;
  third = std::move(second);
  EXPECT_EQ(third.data(), memory);
  third.data()[0] = std::byte{1};
}

TEST(DmaRegion, DoesWithoutLockedMemoryWhereItIsForbidden) {
  // Root may lock whatever the limit says, so the limit only bites without that privilege; either
  // way there must be memory.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_MEMLOCK, &none), 0);
  const Result<DmaRegion> region = DmaRegion::allocate(8192);
  ::setrlimit(RLIMIT_MEMLOCK, &before);
  ASSERT_TRUE(region);
  EXPECT_TRUE(all_zero(*region));
}

TEST(DmaRegion, SaysSoWhenThereIsNoMemory) {
  const Result<DmaRegion> region = DmaRegion::allocate(std::size_t{1} << 60);
  ASSERT_FALSE(region);
  EXPECT_EQ(region.error().code, ErrorCode::kNoResources);
}

TEST(DmaUse, MayMoveAndEndsWithItsHolder) {
  Result<DmaRegion> region = DmaRegion::allocate(4096);
  ASSERT_TRUE(region);
  {
    DmaUse use(*region);
    const DmaUse moved(std::move(use));
  }
  const DmaRegion free_to_move(std::move(*region));
  EXPECT_NE(free_to_move.data(), nullptr);
}

TEST(DmaUseDeathTest, ARegionInUseCannotGoAway) {
  EXPECT_DEATH(
      {
        Result<DmaRegion> region = DmaRegion::allocate(4096);
        auto* use = new DmaUse(*region);
        (void)use;
        region = DmaRegion();
      },
      "CHECK");
}

}  // namespace
}  // namespace nvublk
