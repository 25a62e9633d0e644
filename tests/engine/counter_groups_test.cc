#include "engine/counter_groups.h"

#include <array>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace nvublk {
namespace {

constexpr std::array<const char*, 2> kLabels{"polls", "completions"};

TEST(CounterGroups, AreFoundAgainByKindAndName) {
  CounterGroups groups;
  CounterGroup& first = groups.get("rdma", "rxe0", kLabels);
  first.counter(1).add(3);
  EXPECT_NE(&groups.get("rdma", "rxe1", kLabels), &first);
  EXPECT_NE(&groups.get("other", "rxe0", kLabels), &first);
  EXPECT_EQ(&groups.get("rdma", "rxe0", kLabels), &first);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups.at(0).kind(), "rdma");
  EXPECT_EQ(groups.at(0).name(), "rxe0");
  EXPECT_STREQ(groups.at(0).labels()[1], "completions");
  EXPECT_EQ(groups.at(0).counter(1).get(), 3u);
  EXPECT_EQ(groups.at(1).counter(1).get(), 0u);
}

TEST(CounterGroups, ShareTheLastWhenTheTableIsFull) {
  CounterGroups groups;
  for (std::size_t index = 0; index < CounterGroups::kMaxGroups; index++) {
    groups.get("rdma", "d" + std::to_string(index), kLabels);
  }
  CounterGroup& shared = groups.get("rdma", "one more", kLabels);
  EXPECT_EQ(groups.size(), CounterGroups::kMaxGroups);
  EXPECT_EQ(&shared, &groups.at(CounterGroups::kMaxGroups - 1));
}

// For ThreadSanitizer: a reader beside the shard that adds and counts.
TEST(CounterGroups, AreReadWhileTheyGrow) {
  CounterGroups groups;
  std::thread shard([&groups] {
    for (std::size_t index = 0; index < CounterGroups::kMaxGroups; index++) {
      groups.get("rdma", "d" + std::to_string(index), kLabels).counter(0).add();
    }
  });
  std::size_t seen = 0;
  while (seen < CounterGroups::kMaxGroups) {
    seen = groups.size();
    for (std::size_t index = 0; index < seen; index++) {
      EXPECT_EQ(groups.at(index).name(), "d" + std::to_string(index));
      EXPECT_LE(groups.at(index).counter(0).get(), 1u);
    }
  }
  shard.join();
}

}  // namespace
}  // namespace nvublk
