#include "perf/blocks.h"

#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace nvublk::perf {
namespace {

TEST(Visits, SequentialOnesWrapAround) {
  Visits visits(3, false, 1);
  std::vector<std::uint64_t> seen;
  for (int i = 0; i < 7; i++) seen.push_back(visits.next());
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{0, 1, 2, 0, 1, 2, 0}));
}

TEST(Visits, RandomOnesReachEverythingAndNothingElse) {
  Visits visits(100, true, 7);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 5000; i++) seen.insert(visits.next());
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_LT(*seen.rbegin(), 100u);
}

TEST(Random, DifferentSeedsDiffer) {
  Random one(1);
  Random other(3);
  EXPECT_NE(one.next(), other.next());
}

class ContentsTest : public testing::Test {
 protected:
  Contents contents_{8, 42};
  std::vector<std::byte> data_ = std::vector<std::byte>(512);
};

TEST_F(ContentsTest, WhatWasNeverWrittenMatchesAnything) {
  EXPECT_FALSE(contents_.written(0));
  EXPECT_TRUE(contents_.matches(0, data_));
}

TEST_F(ContentsTest, OnlyTheLastWriteOfTheSameUnitMatches) {
  contents_.begin_write(3, data_);
  EXPECT_TRUE(contents_.matches(3, data_));
  std::vector<std::byte> older = data_;
  contents_.begin_write(3, data_);
  EXPECT_TRUE(contents_.matches(3, data_));
  EXPECT_FALSE(contents_.matches(3, older)) << "a write that was lost";
  std::vector<std::byte> elsewhere(512);
  contents_.begin_write(4, elsewhere);
  EXPECT_FALSE(contents_.matches(3, elsewhere)) << "a write that went astray";
}

TEST_F(ContentsTest, EveryFlippedBitIsSeen) {
  contents_.begin_write(1, data_);
  for (std::size_t bit = 0; bit < data_.size() * 8; bit += 37) {
    const auto mask = static_cast<std::byte>(1u << bit % 8);
    data_[bit / 8] ^= mask;
    EXPECT_FALSE(contents_.matches(1, data_)) << bit;
    data_[bit / 8] ^= mask;
  }
  EXPECT_TRUE(contents_.matches(1, data_));
}

TEST_F(ContentsTest, AFailedWriteIsForgotten) {
  contents_.begin_write(1, data_);
  contents_.forget(1);
  EXPECT_FALSE(contents_.written(1));
}

TEST_F(ContentsTest, UnitsUnderWayAreNotTakenTwice) {
  EXPECT_EQ(contents_.take(6), 6u);
  EXPECT_EQ(contents_.take(6), 7u);
  EXPECT_EQ(contents_.take(6), 0u) << "around the end";
  contents_.release(7);
  EXPECT_EQ(contents_.take(6), 7u);
}

}  // namespace
}  // namespace nvublk::perf
