// Sanitize over TCP. [Base 2.1 §5.1.22, §8.1.24]

#include <algorithm>
#include <cstring>

#include "nvme/async_event_text.h"
#include "nvme/library/management_fixture.h"

namespace nvublk::nvme {
namespace {

using command::SanitizeAction;
using command::SanitizeArguments;
using spec::GenericStatus;
using spec::LogPage;
using spec::SanitizeState;
using spec::SanitizeStatus;
using spec::SanitizeStatusLog;

class SanitizeTest : public ManagementTest {
 protected:
  static target::Options holding() {
    target::Options options;
    options.sanitize_time_ms = kForEverMs;
    return options;
  }
  Ended sanitize(Host& host, const SanitizeArguments& arguments) {
    return host.admin(command::sanitize(arguments));
  }
  static SanitizeStatusLog status_log(Host& host) {
    return host.log<SanitizeStatusLog>(LogPage::kSanitizeStatus);
  }
  /// Begins an operation and lets it end.
  SanitizeStatusLog complete(Host& host, const SanitizeArguments& arguments) {
    EXPECT_EQ(sanitize(host, arguments).status, good());
    target_->finish_operations();
    SanitizeStatusLog log;
    const Instant limit = Clock::now() + seconds(30);
    do {
      log = status_log(host);
    } while (log.status() == SanitizeStatus::kInProgress && Clock::now() < limit);
    return log;
  }
};

TEST_F(SanitizeTest, TheControllerSaysWhatItCanDo) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  const std::uint32_t sanicap = host.controller->profile().identify.sanicap.get();
  EXPECT_EQ(sanicap, spec::kSanitizeBlockErase | spec::kSanitizeOverwrite |
                         spec::kSanitizeCryptoErase | spec::kSanitizeMediaNotModified);
  EXPECT_TRUE(host.controller->supports(LogPage::kSanitizeStatus));
  const SanitizeStatusLog log = status_log(host);
  EXPECT_EQ(log.status(), SanitizeStatus::kNeverStarted);
  EXPECT_EQ(log.sprog.get(), spec::kSanitizeNoProgress);
  EXPECT_TRUE(log.global_data_erased()) << "nothing was written yet";
  EXPECT_EQ(log.block_erase_seconds.get(), spec::kSanitizeTimeUnknown);
}

TEST_F(SanitizeTest, BlockEraseAndCryptoEraseLeaveZeroes) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  for (const auto action : {SanitizeAction::kBlockErase, SanitizeAction::kCryptoErase}) {
    auto data = pattern(65536, 7);
    ASSERT_EQ(write(host, 0, data), good());
    ASSERT_EQ(write(host, 8192 - 128, data), good());
    EXPECT_FALSE(status_log(host).global_data_erased());
    const SanitizeStatusLog log = complete(host, {.action = action});
    EXPECT_EQ(log.status(), SanitizeStatus::kSucceeded);
    EXPECT_EQ(log.state(), SanitizeState::kIdle);
    EXPECT_TRUE(log.global_data_erased());
    EXPECT_EQ(log.sprog.get(), spec::kSanitizeNoProgress);
    EXPECT_EQ(log.scdw10.get(), static_cast<std::uint32_t>(action));
    EXPECT_EQ(log.passes_completed(), 0u);
    for (const std::uint64_t lba : {std::uint64_t{0}, std::uint64_t{8192 - 128}}) {
      ASSERT_EQ(read(host, lba, data), good());
      EXPECT_TRUE(all(data, 0)) << lba;
    }
  }
}

TEST_F(SanitizeTest, AnOverwriteLeavesItsPatternWhereNothingIsDeallocated) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  // The last pass has the pattern itself, however many there are. [Base 2.1 §8.1.24.2]
  for (const std::uint8_t passes : {std::uint8_t{1}, std::uint8_t{2}, std::uint8_t{16}}) {
    auto data = pattern(65536, 7);
    ASSERT_EQ(write(host, 4096, data), good());
    SanitizeArguments arguments{.action = SanitizeAction::kOverwrite,
                                .overwrite_passes = passes,
                                .invert_between_passes = true,
                                .no_deallocate = true,
                                .overwrite_pattern = 0x12345678u + passes};
    const SanitizeStatusLog log = complete(host, arguments);
    EXPECT_EQ(log.status(), SanitizeStatus::kSucceeded);
    EXPECT_EQ(log.passes_completed(), passes);
    EXPECT_EQ(log.scdw10.get(), 3u | ((passes & 0xfu) << 4) | (1u << 8) | (1u << 9));
    ASSERT_EQ(read(host, 4096, data), good());
    EXPECT_TRUE(all(data, arguments.overwrite_pattern));
    arguments.no_deallocate = false;
    EXPECT_EQ(complete(host, arguments).status(), SanitizeStatus::kSucceeded);
    ASSERT_EQ(read(host, 4096, data), good());
    EXPECT_TRUE(all(data, 0)) << "deallocated";
  }
}

TEST_F(SanitizeTest, NothingOfTheOldDataIsLeftWithoutDeallocation) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  const auto old = pattern(65536, 7);
  auto data = old;
  ASSERT_EQ(write(host, 0, data), good());
  complete(host, {.action = SanitizeAction::kBlockErase, .no_deallocate = true});
  ASSERT_EQ(read(host, 0, data), good());
  EXPECT_TRUE(all(data, 0));
  data = old;
  ASSERT_EQ(write(host, 0, data), good());
  complete(host, {.action = SanitizeAction::kCryptoErase, .no_deallocate = true});
  ASSERT_EQ(read(host, 0, data), good());
  for (std::size_t at = 0; at < data.size(); at += 512) {
    EXPECT_NE(std::memcmp(data.data() + at, old.data() + at, 512), 0) << at;
  }
}

TEST_F(SanitizeTest, UnreadableBlocksAndZonesAreErasedToo) {
  serve("size=4M,bs=512");
  target::NamespaceOptions zoned;
  zoned.size_bytes = 4 << 20;
  zoned.block_size = 4096;
  zoned.zone_bytes = 1 << 20;
  ASSERT_TRUE(target_->add_namespace(zoned));
  Host& host = attach(0);
  std::vector<std::byte> data(512);
  std::vector<std::byte> nothing;
  const auto spoil = [&](NamespaceIo& io, Ended& ended) {
    return io.write_uncorrectable(blocks(2, 4, nothing, ended));
  };
  ASSERT_EQ(host.run(spoil).status, good());
  std::vector<std::byte> first(4096, std::byte{0x55});
  ASSERT_EQ(host.submit(command::write(2, 0, 1), first), good());
  EXPECT_EQ(complete(host, {.action = SanitizeAction::kOverwrite, .no_deallocate = true}).status(),
            SanitizeStatus::kSucceeded);
  ASSERT_EQ(read(host, 2, data), good()) << "it was written since";
  EXPECT_TRUE(all(data, 0));
  EXPECT_EQ(host.submit(command::write(2, 0, 1), first), good())
      << "the write pointer is at the beginning of the zone";
}

TEST_F(SanitizeTest, AnOverwriteLeavesMetadataWithThePatternAndEmptyProtectionInformation) {
  serve("size=1M,bs=512,ms=16,pi=1");
  Host& host = attach(0);
  const auto old = pattern(528, 1);
  auto data = old;
  ASSERT_EQ(host.submit(command::write(1, 7, 1), data), good());
  ASSERT_EQ(host.submit(command::read(1, 7, 1), data), good());
  ASSERT_EQ(data, old);
  EXPECT_EQ(complete(host, {.action = SanitizeAction::kOverwrite,
                            .no_deallocate = true,
                            .overwrite_pattern = 0xaabbccdd})
                .status(),
            SanitizeStatus::kSucceeded);
  ASSERT_EQ(host.submit(command::read(1, 7, 1), data), good());
  const std::vector<std::byte> information(data.end() - 8, data.end());
  EXPECT_EQ(information, std::vector<std::byte>(8, std::byte{0xff}));
  data.resize(520);
  EXPECT_TRUE(all(data, 0xaabbccdd));
}

TEST_F(SanitizeTest, CommandsAreRefusedWhileItIsInProgress) {
  serve("size=4M,bs=512", holding());
  Host& host = attach(0, this);
  auto data = pattern(4096, 1);
  ASSERT_EQ(write(host, 0, data), good());
  // An entry of the error log that names a block.
  EXPECT_TRUE(host.submit(command::read(1, 8192, 8), data).is(GenericStatus::kLbaOutOfRange));
  EXPECT_EQ(host.log<spec::ErrorLogEntry>(LogPage::kErrorInformation).lba.get(), 8192u);

  ASSERT_EQ(sanitize(host, {}).status, good());
  const SanitizeStatusLog log = status_log(host);
  EXPECT_EQ(log.status(), SanitizeStatus::kInProgress);
  EXPECT_EQ(log.state(), SanitizeState::kRestrictedProcessing);
  EXPECT_LT(log.sprog.get(), spec::kSanitizeNoProgress);
  EXPECT_LT(log.progress_percent(), 100u);
  EXPECT_FALSE(log.global_data_erased());
  EXPECT_EQ(log.block_erase_seconds.get(), kForEverMs / 1000);
  const auto refused = GenericStatus::kSanitizeInProgress;
  EXPECT_TRUE(read(host, 0, data).is(refused));
  EXPECT_TRUE(write(host, 0, data).is(refused));
  EXPECT_TRUE(sanitize(host, {}).status.is(refused));
  EXPECT_TRUE(sanitize(host, {.action = SanitizeAction::kExitFailureMode}).status.is(refused));
  EXPECT_TRUE(host.admin(command::firmware_commit(command::FirmwareAction::kActivateAtReset, 1))
                  .status.is(refused));
  EXPECT_TRUE(host.admin(command::firmware_download(0, 4096), data).status.is(refused));
  EXPECT_TRUE(host.admin(command::self_test(command::SelfTest::kShort, 1)).status.is(refused));
  EXPECT_TRUE(
      host.admin(command::security_receive({.length_bytes = 512}), data).status.is(refused));
  EXPECT_TRUE(
      host.admin(command::directive_receive({.nsid = 1, .operation = 1, .length_bytes = 4096}),
                 data)
          .status.is(refused));
  const auto page = [&](LogPage which) {
    return host
        .admin(command::get_log_page({.page = which, .length_bytes = 512}),
               std::span(data).first(512))
        .status;
  };
  EXPECT_TRUE(page(LogPage::kFirmwareSlot).is(refused));
  EXPECT_TRUE(page(LogPage::kDeviceSelfTest).is(refused));
  EXPECT_TRUE(page(LogPage::kCommandEffects).is(refused));
  EXPECT_EQ(page(LogPage::kSmartHealth), good());
  EXPECT_EQ(page(LogPage::kChangedNamespaceList), good());
  EXPECT_EQ(host.log<spec::ErrorLogEntry>(LogPage::kErrorInformation).lba.get(), 0u);
  EXPECT_EQ(host.admin(command::get_features(spec::FeatureId::kNumberOfQueues)).status, good());

  Host& other = attach(1);
  EXPECT_TRUE(read(other, 0, data).is(refused)) << "it is the subsystem's";
  EXPECT_EQ(status_log(other).status(), SanitizeStatus::kInProgress);
  ASSERT_TRUE(host.initiator->reset(*host.controller));
  EXPECT_EQ(status_log(host).status(), SanitizeStatus::kInProgress) << "a reset does not end it";

  target_->finish_operations();
  ASSERT_TRUE(host.admin_until([&] { return status_log(host).global_data_erased(); }));
  EXPECT_EQ(read(other, 0, data), good());
  EXPECT_TRUE(all(data, 0));
}

TEST_F(SanitizeTest, ItsEndIsAnEventOfTheControllerThatBeganIt) {
  serve("size=4M,bs=512", holding());
  Host& host = attach(0, this);
  Host& other = attach(1);
  EXPECT_EQ(sanitize(host, {}).status, good());
  other.admin(command::get_features(spec::FeatureId::kNumberOfQueues));
  EXPECT_TRUE(events_.empty());
  target_->finish_operations();
  ASSERT_TRUE(host.admin_until([&] { return !events_.empty(); }));
  EXPECT_EQ(events_[0].type, spec::AsyncEventType::kCommandSet);
  EXPECT_EQ(events_[0].information,
            static_cast<std::uint8_t>(spec::AsyncCommandSet::kSanitizeCompleted));
  EXPECT_EQ(events_[0].log_page, static_cast<std::uint8_t>(LogPage::kSanitizeStatus));
  ASSERT_EQ(event_logs_[0].size(), sizeof(SanitizeStatusLog));
  EXPECT_NE(async_event_text(events_[0], event_logs_[0]).find("all user data is erased"),
            std::string::npos);
  // The library has read the log page: the next one is reported again.
  EXPECT_EQ(sanitize(host, {}).status, good());
  target_->finish_operations();
  ASSERT_TRUE(host.admin_until([&] { return events_.size() == 2; }));
  // Of somebody else's it hears nothing.
  EXPECT_EQ(complete(other, {}).status(), SanitizeStatus::kSucceeded);
  host.admin(command::get_features(spec::FeatureId::kNumberOfQueues));
  EXPECT_EQ(events_.size(), 2u);
}

TEST_F(SanitizeTest, ARestrictedFailureEndsWithARestrictedSuccess) {
  serve("size=4M,bs=512");
  Host& host = attach(0, this);
  target_->inject({.kind = target::FaultKind::kSanitizeFails, .count = 1});
  const SanitizeStatusLog failed = complete(host, {});
  EXPECT_EQ(failed.status(), SanitizeStatus::kFailed);
  EXPECT_EQ(failed.state(), SanitizeState::kRestrictedFailure);
  EXPECT_EQ(failed.ssi >> 4, static_cast<int>(SanitizeState::kRestrictedProcessing));
  ASSERT_TRUE(host.admin_until([&] { return !events_.empty(); }));
  EXPECT_NE(async_event_text(events_[0], event_logs_[0]).find("failed"), std::string::npos);
  std::vector<std::byte> data(4096);
  const auto refused = GenericStatus::kSanitizeFailed;
  EXPECT_TRUE(read(host, 0, data).is(refused));
  EXPECT_TRUE(host.admin(command::self_test(command::SelfTest::kShort, 1)).status.is(refused));
  EXPECT_TRUE(sanitize(host, {.action = SanitizeAction::kExitFailureMode}).status.is(refused));
  EXPECT_TRUE(sanitize(host, {.allow_unrestricted_exit = true}).status.is(refused));
  EXPECT_EQ(complete(host, {}).status(), SanitizeStatus::kSucceeded);
  EXPECT_EQ(read(host, 0, data), good());
}

TEST_F(SanitizeTest, AnUnrestrictedFailureCanBeLeft) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  target_->inject({.kind = target::FaultKind::kSanitizeFails, .count = 1});
  const SanitizeStatusLog failed = complete(host, {.allow_unrestricted_exit = true});
  EXPECT_EQ(failed.state(), SanitizeState::kUnrestrictedFailure);
  std::vector<std::byte> data(4096);
  EXPECT_TRUE(read(host, 0, data).is(GenericStatus::kSanitizeFailed));
  EXPECT_EQ(sanitize(host, {.action = SanitizeAction::kExitFailureMode}).status, good());
  EXPECT_EQ(read(host, 0, data), good());
  EXPECT_EQ(status_log(host).status(), SanitizeStatus::kFailed) << "of the last operation";
  EXPECT_EQ(status_log(host).state(), SanitizeState::kIdle);
}

TEST_F(SanitizeTest, WhatCannotBeDoneIsRefused) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto sqe = command::sanitize({});
  for (const std::uint32_t cdw10 : {0u, 5u, 6u, 7u, 2u | (1u << 10)}) {
    sqe.cdw10 = cdw10;
    EXPECT_TRUE(host.admin(sqe).status.is(GenericStatus::kInvalidField)) << cdw10;
  }
  target::NamespaceOptions read_only;
  read_only.size_bytes = 1 << 20;
  read_only.read_only = true;
  ASSERT_TRUE(target_->add_namespace(read_only));
  EXPECT_TRUE(sanitize(host, {}).status.is(GenericStatus::kNamespaceWriteProtected));
  EXPECT_EQ(status_log(host).status(), SanitizeStatus::kNeverStarted);
}

}  // namespace
}  // namespace nvublk::nvme
