// Device Self-test over TCP. [Base 2.1 §5.1.5, §8.1.7]

#include <algorithm>

#include "nvme/library/management_fixture.h"

namespace nvublk::nvme {
namespace {

using command::SelfTest;
using spec::CommandStatus;
using spec::GenericStatus;
using spec::LogPage;
using spec::SelfTestLog;
using spec::SelfTestOutcome;

class SelfTestTest : public ManagementTest {
 protected:
  static target::Options holding() {
    target::Options options;
    options.self_test_time_ms = kForEverMs;
    return options;
  }
  static Ended begin(Host& host, SelfTest which, std::uint32_t nsid = spec::kNsidBroadcast) {
    return host.admin(command::self_test(which, nsid));
  }
  static SelfTestLog test_log(Host& host) {
    return host.log<SelfTestLog>(LogPage::kDeviceSelfTest);
  }
  static std::size_t count(const SelfTestLog& log) {
    return static_cast<std::size_t>(std::ranges::count_if(
        log.results, [](const auto& each) { return each.outcome() != SelfTestOutcome::kUnused; }));
  }
  /// Begins a test and waits for its result.
  spec::SelfTestResult complete(Host& host, SelfTest which, std::uint32_t nsid) {
    EXPECT_EQ(begin(host, which, nsid).status, good());
    target_->finish_operations();
    SelfTestLog log;
    const Instant limit = Clock::now() + seconds(30);
    do {
      log = test_log(host);
    } while (log.running() != SelfTest::kNone && Clock::now() < limit);
    return log.results[0];
  }
};

TEST_F(SelfTestTest, TestsThatPassAreLogged) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  const spec::IdentifyController& identify = host.controller->profile().identify;
  EXPECT_NE(identify.oacs.get() & (1u << 4), 0);
  EXPECT_EQ(identify.dsto, spec::kSelfTestOnePerSubsystem);
  EXPECT_EQ(identify.edstt.get(), 1) << "minutes, rounded up";
  EXPECT_TRUE(host.controller->supports(LogPage::kDeviceSelfTest));
  EXPECT_EQ(count(test_log(host)), 0u);
  for (const SelfTest which : {SelfTest::kShort, SelfTest::kExtended}) {
    for (const std::uint32_t nsid : {0u, 1u, spec::kNsidBroadcast}) {
      const spec::SelfTestResult result = complete(host, which, nsid);
      EXPECT_EQ(result.outcome(), SelfTestOutcome::kPassed) << nsid;
      EXPECT_EQ(result.test(), which);
      EXPECT_FALSE(result.failed_nsid());
      EXPECT_FALSE(result.failed_lba());
    }
  }
  EXPECT_EQ(count(test_log(host)), 6u);
}

TEST_F(SelfTestTest, ABadBlockFailsTheTestThatReadsIt) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  std::vector<std::byte> nothing;
  const auto spoil = [&](NamespaceIo& io, Ended& ended) {
    return io.write_uncorrectable(blocks(4100, 3, nothing, ended));
  };
  ASSERT_EQ(host.run(spoil).status, good());
  EXPECT_EQ(complete(host, SelfTest::kShort, 1).outcome(), SelfTestOutcome::kPassed)
      << "it reads the ends";
  const spec::SelfTestResult result = complete(host, SelfTest::kExtended, 1);
  EXPECT_EQ(result.outcome(), SelfTestOutcome::kSegmentFailed);
  EXPECT_EQ(result.test(), SelfTest::kExtended);
  EXPECT_EQ(result.segment, 1);
  EXPECT_EQ(result.failed_nsid(), 1u);
  EXPECT_EQ(result.failed_lba(), 4100u);
  EXPECT_EQ(result.status_type, static_cast<std::uint8_t>(spec::StatusCodeType::kMedia));
  EXPECT_EQ(result.status_code,
            static_cast<std::uint8_t>(spec::MediaStatus::kUnrecoveredReadError));
  EXPECT_EQ(complete(host, SelfTest::kExtended, 0).outcome(), SelfTestOutcome::kPassed)
      << "the controller alone";
}

TEST_F(SelfTestTest, OneTestAtATimeAndItCanBeAborted) {
  serve("size=4M,bs=512", holding());
  Host& host = attach(0);
  Host& other = attach(1);
  EXPECT_EQ(begin(host, SelfTest::kAbort).status, good()) << "there is none";
  EXPECT_EQ(count(test_log(host)), 0u);
  ASSERT_EQ(begin(host, SelfTest::kExtended).status, good());
  const SelfTestLog log = test_log(other);
  EXPECT_EQ(log.running(), SelfTest::kExtended);
  EXPECT_LT(log.progress_percent(), 100u);
  EXPECT_EQ(count(log), 0u);
  EXPECT_TRUE(begin(other, SelfTest::kShort).status.is(CommandStatus::kSelfTestInProgress));
  auto data = pattern(4096, 1);
  EXPECT_EQ(write(host, 0, data), good()) << "I/O goes on";
  ASSERT_EQ(begin(other, SelfTest::kAbort).status, good());
  EXPECT_EQ(test_log(host).running(), SelfTest::kNone);
  EXPECT_EQ(test_log(host).results[0].outcome(), SelfTestOutcome::kAbortedByCommand);
  EXPECT_EQ(begin(host, SelfTest::kShort).status, good());
}

TEST_F(SelfTestTest, WhatElseEndsATestIsLogged) {
  serve("size=4M,bs=512", holding());
  Host& host = attach(0);
  ASSERT_EQ(begin(host, SelfTest::kShort).status, good());
  ASSERT_TRUE(host.initiator->reset(*host.controller));
  EXPECT_EQ(test_log(host).results[0].outcome(), SelfTestOutcome::kAbortedByReset);

  ASSERT_EQ(begin(host, SelfTest::kExtended).status, good());
  ASSERT_TRUE(host.initiator->reset(*host.controller));
  EXPECT_EQ(test_log(host).running(), SelfTest::kExtended) << "it goes on";
  target::NamespaceOptions more;
  more.size_bytes = 1 << 20;
  ASSERT_EQ(host.admin(command::sanitize({})).status, good());
  ASSERT_TRUE(host.admin_until([&] {
    return host.log<spec::SanitizeStatusLog>(LogPage::kSanitizeStatus).status() ==
           spec::SanitizeStatus::kSucceeded;
  }));
  EXPECT_EQ(test_log(host).results[0].outcome(), SelfTestOutcome::kAbortedBySanitize);

  ASSERT_TRUE(target_->add_namespace(more));
  ASSERT_EQ(begin(host, SelfTest::kShort, 2).status, good());
  ASSERT_TRUE(target_->remove_namespace(2));
  EXPECT_EQ(test_log(host).results[0].outcome(), SelfTestOutcome::kNamespaceRemoved);
}

TEST_F(SelfTestTest, TheLogHasTwentyResultsTheNewestFirst) {
  serve("size=1M,bs=512");
  Host& host = attach(0);
  for (int i = 0; i < 20; i++) complete(host, SelfTest::kShort, 0);
  complete(host, SelfTest::kExtended, 0);
  const SelfTestLog log = test_log(host);
  EXPECT_EQ(count(log), 20u);
  EXPECT_EQ(log.results[0].test(), SelfTest::kExtended);
  EXPECT_EQ(log.results[1].test(), SelfTest::kShort);
}

TEST_F(SelfTestTest, WhatThereIsNotIsRefused) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto sqe = command::self_test(SelfTest::kShort, 1);
  for (const std::uint32_t code : {0u, 3u, 0xeu}) {
    sqe.cdw10 = code;
    EXPECT_TRUE(host.admin(sqe).status.is(GenericStatus::kInvalidField)) << code;
  }
  EXPECT_TRUE(begin(host, SelfTest::kShort, 5).status.is(GenericStatus::kInvalidField))
      << "not active";
  EXPECT_TRUE(begin(host, SelfTest::kShort, 0xfffffffe)
                  .status.is(GenericStatus::kInvalidNamespaceOrFormat));
  EXPECT_EQ(count(test_log(host)), 0u);
}

}  // namespace
}  // namespace nvublk::nvme
