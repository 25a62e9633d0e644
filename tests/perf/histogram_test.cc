#include "perf/histogram.h"

#include <vector>

#include <gtest/gtest.h>

namespace nvublk::perf {
namespace {

TEST(Histogram, EmptyIsAllZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.min_ns(), 0u);
  EXPECT_EQ(histogram.max_ns(), 0u);
  EXPECT_EQ(histogram.average_ns(), 0);
  EXPECT_EQ(histogram.percentile_ns(50), 0u);
}

TEST(Histogram, PercentilesOfAnEvenSpreadAreWhereTheyShouldBe) {
  Histogram histogram;
  for (std::uint64_t i = 1; i <= 100000; i++) histogram.add(i);
  EXPECT_EQ(histogram.count(), 100000u);
  EXPECT_EQ(histogram.min_ns(), 1u);
  EXPECT_EQ(histogram.max_ns(), 100000u);
  EXPECT_DOUBLE_EQ(histogram.average_ns(), 50000.5);
  for (const double percent : {1.0, 10.0, 50.0, 90.0, 99.0, 99.9}) {
    const double exact = percent * 1000;
    const auto found = static_cast<double>(histogram.percentile_ns(percent));
    EXPECT_GE(found, exact);
    EXPECT_LE(found, exact * (1 + 2.0 / 128) + 1) << percent;
  }
  EXPECT_EQ(histogram.percentile_ns(100), 100000u);
}

TEST(Histogram, EachBucketHoldsItsValuesAndIsNarrow) {
  for (std::uint64_t value = 1; value < Histogram::kMaxNs; value = value * 3 + 1) {
    Histogram histogram;
    histogram.add(value);
    int rows = 0;
    histogram.each(
        [&](std::uint64_t begin, std::uint64_t end, std::uint64_t count, std::uint64_t seen) {
          rows++;
          EXPECT_LE(begin, value);
          EXPECT_GT(end, value);
          EXPECT_LE((end - begin) * 128, std::max<std::uint64_t>(begin, 128));
          EXPECT_EQ(count, 1u);
          EXPECT_EQ(seen, 1u);
        });
    EXPECT_EQ(rows, 1);
  }
}

TEST(Histogram, ValuesBeyondTheLimitCountInTheLastBucket) {
  Histogram histogram;
  histogram.add(UINT64_MAX);
  EXPECT_EQ(histogram.max_ns(), UINT64_MAX);
  EXPECT_EQ(histogram.percentile_ns(100), Histogram::kMaxNs + 1);
}

TEST(Histogram, AddingAnotherIsAsIfAllHadBeenAddedToOne) {
  Histogram one;
  Histogram other;
  Histogram all;
  for (std::uint64_t i = 1; i < 5000; i += 7) {
    (i % 2 == 0 ? one : other).add(i * i);
    all.add(i * i);
  }
  one.add(other);
  EXPECT_EQ(one.count(), all.count());
  EXPECT_EQ(one.min_ns(), all.min_ns());
  EXPECT_EQ(one.max_ns(), all.max_ns());
  EXPECT_DOUBLE_EQ(one.average_ns(), all.average_ns());
  EXPECT_EQ(one.percentile_ns(95), all.percentile_ns(95));
}

}  // namespace
}  // namespace nvublk::perf
