#include "target/bad_blocks.h"

#include <set>

#include <gtest/gtest.h>

namespace nvublk::target {
namespace {

TEST(BadBlocks, RangesJoinAndAreCut) {
  BadBlocks bad;
  EXPECT_FALSE(bad.any(0, 1000));
  bad.add(10, 10);
  bad.remove(14, 2);
  EXPECT_TRUE(bad.any(10, 1));
  EXPECT_TRUE(bad.any(13, 1));
  EXPECT_FALSE(bad.any(14, 2));
  EXPECT_TRUE(bad.any(14, 3));
  EXPECT_TRUE(bad.any(0, 11));
  EXPECT_FALSE(bad.any(0, 10));
  EXPECT_FALSE(bad.any(20, 5));
}

// Against a set of blocks, with sums that wander over all of a small space.
TEST(BadBlocks, AsASetOfBlocksWouldHaveIt) {
  BadBlocks bad;
  std::set<std::uint64_t> want;
  std::uint64_t state = 12345;
  const auto next = [&state](std::uint64_t limit) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % limit;
  };
  for (int i = 0; i < 3000; i++) {
    const std::uint64_t lba = next(60);
    const std::uint64_t blocks = 1 + next(9);
    const bool add = next(2) == 0;
    add ? bad.add(lba, blocks) : bad.remove(lba, blocks);
    for (std::uint64_t b = lba; b < lba + blocks; b++) {
      if (add) {
        want.insert(b);
      } else {
        want.erase(b);
      }
    }
    for (std::uint64_t b = 0; b < 70; b++) ASSERT_EQ(bad.any(b, 1), want.contains(b)) << i;
  }
}

}  // namespace
}  // namespace nvublk::target
