#include "service/shard_placement.h"

#include <memory>

#include <gtest/gtest.h>

#include "engine/shard.h"
#include "service/shard_pool.h"

namespace nvublk::service {
namespace {

using Ids = std::vector<unsigned>;
const std::vector<NumaNode> kTwoNodes{{0, {0, 1, 2, 3}}, {1, {4, 5, 6, 7}}};

TEST(PlaceShards, BusyOnesHaveACpuEachOneNodeAfterTheOther) {
  const std::vector<int> usable{0, 1, 4, 5, 6};
  const auto places = place_shards(6, IdleMode::kBusy, usable, kTwoNodes);
  std::vector<int> cpus;
  std::vector<int> nodes;
  for (const ShardPlace& place : places) {
    ASSERT_EQ(place.cpus.size(), 1U);
    cpus.push_back(place.cpus.front());
    nodes.push_back(place.numa_node);
  }
  EXPECT_EQ(cpus, (std::vector{0, 4, 1, 5, 0, 6}));
  EXPECT_EQ(nodes, (std::vector{0, 1, 0, 1, 0, 1}));
}

TEST(PlaceShards, ThoseThatSleepKeepToTheirNode) {
  const std::vector<int> usable{1, 2, 4, 5};
  const auto places = place_shards(3, IdleMode::kAdaptive, usable, kTwoNodes);
  EXPECT_EQ(places[0].cpus, (std::vector{1, 2}));
  EXPECT_EQ(places[1].cpus, (std::vector{4, 5}));
  EXPECT_EQ(places[2].numa_node, 0);
}

TEST(PlaceShards, OnOneNodeThoseThatSleepAreTheSchedulers) {
  const std::vector<int> usable{0, 1};
  for (const auto& nodes : {std::vector<NumaNode>{}, {{0, {0, 1}}}, kTwoNodes}) {
    const auto places = place_shards(2, IdleMode::kInterrupt, usable, nodes);
    EXPECT_TRUE(places[0].cpus.empty());
    EXPECT_EQ(places[1].numa_node, nodes.empty() ? kNoNumaNode : 0);
  }
}

TEST(PlaceShards, WithoutNodesBusyOnesHaveTheCpusInTurn) {
  const std::vector<int> usable{3, 5};
  const auto places = place_shards(3, IdleMode::kBusy, usable, {});
  EXPECT_EQ(places[0].cpus, std::vector{3});
  EXPECT_EQ(places[1].cpus, std::vector{5});
  EXPECT_EQ(places[2].cpus, std::vector{3});
}

// Four I/O shards, of which those with odd numbers are on node 1.
class ShardPlacementTest : public ::testing::Test {
 protected:
  ShardPlacementTest() {
    for (unsigned id = 0; id < 4; id++) {
      auto shard = Shard::start({.id = id, .numa_node = static_cast<int>(id % 2)});
      set_.io.push_back(shard->get());
      shards_.push_back(std::move(*shard));
    }
  }
  Ids ids(int numa_node, unsigned queues) {
    placements_.push_back(std::make_unique<ShardPlacement>(set_, load_, numa_node, queues));
    Ids found;
    for (const Shard* shard : placements_.back()->shards().io) {
      found.push_back(shard->id());
    }
    return found;
  }

  std::vector<std::unique_ptr<Shard>> shards_;
  ShardSet set_;
  ShardLoad load_;
  std::vector<std::unique_ptr<ShardPlacement>> placements_;
};

TEST_F(ShardPlacementTest, ADeviceOnANodeHasTheShardsOfThatNode) {
  EXPECT_EQ(ids(1, 0), (Ids{1, 3}));
  EXPECT_EQ(ids(0, 1), Ids{0});
}

TEST_F(ShardPlacementTest, MoreQueuesThanThatGoElsewhere) {
  EXPECT_EQ(ids(1, 3), (Ids{1, 3, 0}));
  EXPECT_EQ(ids(1, 100), (Ids{1, 3, 2, 0}));
}

TEST_F(ShardPlacementTest, ADeviceOnNoNodeOrOnOneWithoutShardsHasThemAll) {
  EXPECT_EQ(ids(kNoNumaNode, 0), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(ids(7, 0), (Ids{0, 1, 2, 3}));
}

TEST_F(ShardPlacementTest, TheShardWithTheFewestQueuesIsNext) {
  EXPECT_EQ(ids(kNoNumaNode, 1), Ids{0});
  EXPECT_EQ(ids(kNoNumaNode, 1), Ids{1});
  EXPECT_EQ(ids(1, 1), Ids{3});
  EXPECT_EQ(ids(kNoNumaNode, 2), (Ids{2, 0}));
}

TEST_F(ShardPlacementTest, WhatHasGoneCountsNoMore) {
  EXPECT_EQ(ids(kNoNumaNode, 2), (Ids{0, 1}));
  placements_.clear();
  EXPECT_EQ(load_.queues(0), 0U);
  EXPECT_EQ(ids(kNoNumaNode, 1), Ids{0});
}

}  // namespace
}  // namespace nvublk::service
