#include "engine/log.h"

#include <gtest/gtest.h>

namespace nvublk {
namespace {

constexpr Instant at(int s) {
  return Instant{} + seconds(s);
}

TEST(LogLimiter, LetsABurstThroughPerIntervalAndCountsTheRest) {
  LogLimiter limiter(2, seconds(10));
  EXPECT_TRUE(limiter.allow(at(0)));
  EXPECT_TRUE(limiter.allow(at(1)));
  EXPECT_EQ(limiter.take_suppressed(), 0U);
  EXPECT_FALSE(limiter.allow(at(2)));
  EXPECT_FALSE(limiter.allow(at(9)));
  EXPECT_TRUE(limiter.allow(at(10)));
  EXPECT_EQ(limiter.take_suppressed(), 2U);
  EXPECT_EQ(limiter.take_suppressed(), 0U);
  EXPECT_TRUE(limiter.allow(at(11)));
  EXPECT_FALSE(limiter.allow(at(12)));
}

TEST(LogLimiter, StartsWithTheFirstMessageWheneverThatIs) {
  LogLimiter limiter(1, seconds(10));
  EXPECT_TRUE(limiter.allow(at(1000)));
  EXPECT_FALSE(limiter.allow(at(1009)));
  EXPECT_TRUE(limiter.allow(at(1010)));
}

class LogLevelTest : public testing::Test {
 protected:
  ~LogLevelTest() override { set_log_level(LogLevel::kInfo); }
};

TEST_F(LogLevelTest, WritesSubsystemAndTextFromItsLevelOn) {
  set_log_level(LogLevel::kWarning);
  EXPECT_EQ(log_level(), LogLevel::kWarning);
  testing::internal::CaptureStderr();
  log_debug("tcp", "quiet");
  log_info("tcp", "quiet");
  log_warning("tcp", "digest mismatch {}");
  log_error("ublk", "gone");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find("quiet"), std::string::npos);
  EXPECT_NE(text.find("tcp: digest mismatch {}\n"), std::string::npos);
  EXPECT_NE(text.find("ublk: gone\n"), std::string::npos);
}

TEST_F(LogLevelTest, KnowsEveryLevel) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    set_log_level(level);
    EXPECT_EQ(log_level(), level);
  }
}

}  // namespace
}  // namespace nvublk
