#include "engine/wake_time.h"

#include <gtest/gtest.h>

namespace nvublk {
namespace {

TEST(WakeTimeTest, IsATime) {
  EXPECT_GT(measure_wake_time(), Duration::zero());
  EXPECT_LT(measure_wake_time(), seconds(10));
}

}  // namespace
}  // namespace nvublk
