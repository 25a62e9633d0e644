#include "ublk/features.h"

#include <gtest/gtest.h>

namespace nvublk::ublk {
namespace {

TEST(Features, AreNamedAsTheKernelNamesThem) {
  EXPECT_EQ(feature_name(3), "USER_RECOVERY");
  EXPECT_EQ(feature_name(17), "SAFE_STOP_DEV");
  EXPECT_EQ(feature_name(63), "");
  const Features features{1ULL << 0 | 1ULL << 12 | 1ULL << 40};
  EXPECT_EQ(features.names(), (std::vector<std::string>{"SUPPORT_ZERO_COPY", "QUIESCE", "BIT_40"}));
}

TEST(Features, HasMeansAllOfThem) {
  const Features features{0b1010};
  EXPECT_TRUE(features.has(0b1010));
  EXPECT_FALSE(features.has(0b1011));
}

}  // namespace
}  // namespace nvublk::ublk
