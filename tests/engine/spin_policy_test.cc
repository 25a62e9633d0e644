#include "engine/spin_policy.h"

#include <gtest/gtest.h>

namespace nvublk {
namespace {

constexpr Duration kLimit = microseconds(200);

// Sleeps with `in_flight` requests, to wake `quiet` after the last event, so many times.
void sleep_often(SpinPolicy& policy, unsigned in_flight, Duration quiet, int times = 20) {
  for (int i = 0; i < times; i++) {
    policy.before_sleep(in_flight);
    policy.after_sleep(quiet);
  }
}

TEST(SpinPolicyTest, PollsUpToTheLimitWhenNothingIsInFlight) {
  const SpinPolicy policy(kLimit);
  EXPECT_TRUE(policy.spin(microseconds(199), 0));
  EXPECT_FALSE(policy.spin(microseconds(200), 0));
}

TEST(SpinPolicyTest, PollsLongerForAnAnswerThatIsSureToCome) {
  const SpinPolicy policy(kLimit);
  EXPECT_TRUE(policy.spin(microseconds(999), 1));
  EXPECT_FALSE(policy.spin(microseconds(1000), 1));
}

TEST(SpinPolicyTest, OfManyRequestsOneIsAnsweredSooner) {
  const SpinPolicy policy(kLimit);
  EXPECT_TRUE(policy.spin(microseconds(249), 4));
  EXPECT_FALSE(policy.spin(microseconds(250), 4));
  EXPECT_FALSE(policy.spin(microseconds(10), 100));
}

TEST(SpinPolicyTest, LeavesPollingOutWhenItNeverPays) {
  SpinPolicy policy(kLimit);
  sleep_often(policy, 0, milliseconds(5));
  EXPECT_FALSE(policy.spin(Duration::zero(), 0));
}

TEST(SpinPolicyTest, TakesPollingUpAgainWhenItWouldHavePaid) {
  SpinPolicy policy(kLimit);
  sleep_often(policy, 0, milliseconds(5));
  sleep_often(policy, 0, microseconds(150));
  EXPECT_TRUE(policy.spin(microseconds(199), 0));
  EXPECT_FALSE(policy.spin(microseconds(200), 0));
}

TEST(SpinPolicyTest, LearnsOfDevicesAndOfFrontendsApart) {
  SpinPolicy slow_device(kLimit);
  sleep_often(slow_device, 1, milliseconds(5));
  EXPECT_FALSE(slow_device.spin(Duration::zero(), 1));
  EXPECT_TRUE(slow_device.spin(microseconds(199), 0));

  SpinPolicy rare_requests(kLimit);
  sleep_often(rare_requests, 0, milliseconds(5));
  EXPECT_FALSE(rare_requests.spin(Duration::zero(), 0));
  EXPECT_TRUE(rare_requests.spin(microseconds(999), 1));
}

TEST(SpinPolicyTest, JudgesManyRequestsByTheirShareOfTheLimit) {
  SpinPolicy policy(kLimit);
  sleep_often(policy, 10, microseconds(150));  // polling for 100 would not have found it
  EXPECT_FALSE(policy.spin(Duration::zero(), 10));
  sleep_often(policy, 10, microseconds(50));
  EXPECT_TRUE(policy.spin(microseconds(99), 10));
}

TEST(SpinPolicyTest, LearnsOnlyFromSleep) {
  SpinPolicy policy(kLimit);
  for (int i = 0; i < 20; i++) {
    policy.after_sleep(milliseconds(5));
  }
  EXPECT_TRUE(policy.spin(microseconds(199), 0));
}

TEST(SpinPolicyTest, TheLimitFollowsFromWhatAWakeUpCosts) {
  EXPECT_EQ(spin_for(microseconds(1)), microseconds(50));
  EXPECT_EQ(spin_for(microseconds(20)), microseconds(200));
  EXPECT_EQ(spin_for(milliseconds(2)), milliseconds(1));
}

TEST(SpinPolicyTest, ALimitOfZeroNeverPolls) {
  SpinPolicy policy(Duration::zero());
  EXPECT_FALSE(policy.spin(Duration::zero(), 0));
  sleep_often(policy, 1, microseconds(1));
  EXPECT_FALSE(policy.spin(Duration::zero(), 1));
}

}  // namespace
}  // namespace nvublk
