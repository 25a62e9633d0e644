#include "engine/log.h"

#include <array>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

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

// Logs more than a socket holds whose other end nobody reads; ends the process with status 0.
[[noreturn]] void log_to_a_journal_that_waits() {
  std::array<int, 2> ends{};
  struct stat status{};
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0 || ::fstat(ends[0], &status) != 0 ||
      ::dup2(ends[0], STDERR_FILENO) < 0) {
    ::_exit(1);
  }
  const std::string stream = std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
  ::setenv("JOURNAL_STREAM", stream.c_str(), 1);
  for (int n = 0; n < 10000; ++n) {
    log_error("test", "a line that nobody reads");
  }
  std::array<char, 4> begin{};
  const bool told = ::read(ends[1], begin.data(), begin.size()) == ssize_t{begin.size()};
  ::_exit(told && std::string(begin.data(), begin.size()) == "<3>t" ? 0 : 1);
}

// A process of its own, since the first message decides where the log goes; a hang is ctest's to
// end.
TEST(LogDeathTest, AJournalThatWaitsKeepsNobodyWaiting) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(log_to_a_journal_that_waits(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace nvublk
