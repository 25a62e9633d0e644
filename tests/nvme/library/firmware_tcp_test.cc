// Firmware Image Download and Firmware Commit over TCP. [Base 2.1 §3.11, §5.1.8, §5.1.9]

#include <cstring>
#include <optional>
#include <string>

#include "nvme/firmware_update.h"
#include "nvme/library/management_fixture.h"
#include "nvme/spec/text.h"

namespace nvublk::nvme {
namespace {

using command::FirmwareAction;
using spec::CommandStatus;
using spec::FirmwareSlotLog;
using spec::GenericStatus;
using spec::LogPage;

constexpr std::size_t kHeaderBytes = 32;

/// CRC-32C bit by bit: not what the target computes it with.
std::uint32_t plain_crc32c(std::span<const std::byte> data) {
  std::uint32_t crc = 0xffffffff;
  for (const std::byte byte : data) {
    crc ^= static_cast<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

class FirmwareTest : public ManagementTest {
 protected:
  void store(std::vector<std::byte>& image, std::size_t at, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; i++) image[at + i] = static_cast<std::byte>(value >> (8 * i));
  }
  /// An image as nvublk-target(1) has it.
  std::vector<std::byte> image(std::string revision, std::size_t bytes, bool needs_reset = false) {
    std::vector<std::byte> image = pattern(bytes, 3);
    revision.resize(8, ' ');
    std::memcpy(image.data(), "NVUBLKFW", 8);
    std::memcpy(image.data() + 8, revision.data(), 8);
    store(image, 16, static_cast<std::uint32_t>(bytes));
    store(image, 20, plain_crc32c(std::span(image).subspan(kHeaderBytes)));
    store(image, 24, needs_reset ? 1 : 0);
    store(image, 28, 0);
    return image;
  }
  static spec::NvmeStatus download(Host& host, std::vector<std::byte>& image, std::size_t offset,
                                   std::size_t length) {
    return host
        .admin(command::firmware_download(offset, static_cast<std::uint32_t>(length)),
               std::span(image).subspan(offset, length))
        .status;
  }
  static spec::NvmeStatus commit(Host& host, FirmwareAction action, std::uint8_t slot) {
    return host.admin(command::firmware_commit(action, slot)).status;
  }
  FirmwareUpdateResult update(Host& host, std::vector<std::byte>& image, FirmwareAction action,
                              std::uint8_t slot = 0) {
    std::optional<FirmwareUpdateResult> ended;
    FirmwareUpdate update;
    update.image = image;
    update.action = action;
    update.slot = slot;
    update.done = [&ended](const FirmwareUpdateResult& result) { ended = result; };
    EXPECT_EQ(update_firmware(*host.controller, update), 0);
    EXPECT_TRUE(host.admin_until([&ended] { return ended.has_value(); }));
    return ended.value_or(FirmwareUpdateResult{});
  }
  static FirmwareSlotLog slots(Host& host) {
    return host.log<FirmwareSlotLog>(LogPage::kFirmwareSlot);
  }
  static std::string revision(const FirmwareSlotLog& log, std::size_t slot) {
    return spec::printable_text(log.revision.at(slot - 1));
  }
  /// FR, as the controller says now.
  static std::string running(Host& host) {
    spec::IdentifyController identify;
    const auto bytes = std::as_writable_bytes(std::span(&identify, 1));
    EXPECT_EQ(host.admin(command::identify({.cns = spec::IdentifyCns::kController}), bytes).status,
              good());
    return spec::printable_text(identify.fr);
  }
  std::uint64_t sent(spec::AdminOpcode opcode) const {
    return target_->stats().admin_commands[static_cast<std::size_t>(opcode)];
  }
};

TEST_F(FirmwareTest, TheControllerSaysWhatItHas) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  const spec::IdentifyController& identify = host.controller->profile().identify;
  EXPECT_TRUE(identify.supports_firmware());
  EXPECT_EQ(identify.frmw, 0x37) << "slot 1 of 3 read only, no reset needed, sees overlaps";
  EXPECT_EQ(identify.fwug, 1);
  const FirmwareSlotLog log = slots(host);
  EXPECT_EQ(log.active_slot(), 1u);
  EXPECT_EQ(log.next_slot(), 0u);
  EXPECT_EQ(revision(log, 1), "1");
  EXPECT_EQ(revision(log, 2), "");
}

TEST_F(FirmwareTest, AnImageGoesInPiecesThatTheControllerTakes) {
  target::Options options;
  options.max_transfer_bytes = 65536;
  serve("size=4M,bs=512", options);
  Host& host = attach(0, this);
  EXPECT_EQ(firmware_piece_bytes(*host.controller), 65536u);
  auto bytes = image("2.0", 200 * 1024 + 100);
  const FirmwareUpdateResult result = update(host, bytes, FirmwareAction::kReplaceAndActivateNow);
  EXPECT_EQ(result.status, good());
  EXPECT_TRUE(result.committed);
  EXPECT_FALSE(result.overlapped);
  EXPECT_EQ(result.activation, FirmwareActivation::kDone);
  EXPECT_EQ(result.downloaded_bytes, bytes.size());
  EXPECT_EQ(sent(spec::AdminOpcode::kFirmwareImageDownload), 4u);
  EXPECT_EQ(running(host), "2.0");
  ASSERT_TRUE(host.admin_until([&] { return !events_.empty(); }));
  EXPECT_TRUE(events_[0].is(spec::AsyncNotice::kFirmwareActivationStarting));
  FirmwareSlotLog log = slots(host);
  EXPECT_EQ(log.active_slot(), 2u) << "the first free one";
  EXPECT_EQ(revision(log, 2), "2.0");
  EXPECT_EQ(commit(host, FirmwareAction::kReplaceAndActivateNow, 1), good());
  EXPECT_EQ(running(host), "1") << "what was in the slot already";
}

TEST_F(FirmwareTest, AnImageRunsAfterAReset) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto bytes = image("2.1", 8192);
  const FirmwareUpdateResult result =
      update(host, bytes, FirmwareAction::kReplaceAndActivateAtReset, 3);
  EXPECT_EQ(result.status, good());
  EXPECT_EQ(result.activation, FirmwareActivation::kControllerReset);
  FirmwareSlotLog log = slots(host);
  EXPECT_EQ(log.active_slot(), 1u);
  EXPECT_EQ(log.next_slot(), 3u);
  EXPECT_EQ(running(host), "1");
  EXPECT_TRUE(
      host.admin(command::sanitize({})).status.is(CommandStatus::kFirmwareNeedsControllerReset))
      << "not while one waits for a reset";
  ASSERT_TRUE(host.initiator->reset(*host.controller));
  EXPECT_EQ(running(host), "2.1");
  EXPECT_EQ(host.controller->status().firmware, "2.1");
  log = slots(host);
  EXPECT_EQ(log.active_slot(), 3u);
  EXPECT_EQ(log.next_slot(), 0u);
  EXPECT_EQ(commit(host, FirmwareAction::kActivateAtReset, 1), good());
  ASSERT_TRUE(host.initiator->reset(*host.controller));
  EXPECT_EQ(running(host), "1");
}

TEST_F(FirmwareTest, AnImageThatNeedsAResetSaysSo) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto bytes = image("3", 4096, true);
  const FirmwareUpdateResult result =
      update(host, bytes, FirmwareAction::kReplaceAndActivateNow, 2);
  EXPECT_TRUE(result.status.is(CommandStatus::kFirmwareNeedsControllerReset));
  EXPECT_TRUE(result.committed);
  EXPECT_EQ(result.activation, FirmwareActivation::kControllerReset);
  EXPECT_EQ(running(host), "1");
  EXPECT_EQ(slots(host).next_slot(), 2u);
  ASSERT_TRUE(host.initiator->reset(*host.controller));
  EXPECT_EQ(running(host), "3");
}

TEST_F(FirmwareTest, AnImageCanWaitInItsSlot) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto bytes = image("4", 4096);
  const FirmwareUpdateResult result = update(host, bytes, FirmwareAction::kReplace, 2);
  EXPECT_TRUE(result.committed);
  EXPECT_EQ(result.activation, FirmwareActivation::kNone);
  EXPECT_EQ(slots(host).next_slot(), 0u);
  EXPECT_EQ(revision(slots(host), 2), "4");
  ASSERT_TRUE(host.initiator->reset(*host.controller));
  EXPECT_EQ(running(host), "1");
  EXPECT_EQ(commit(host, FirmwareAction::kReplaceAndActivateNow, 2), good());
  EXPECT_EQ(running(host), "4");
  EXPECT_TRUE(update(host, bytes, FirmwareAction::kReplace, 2)
                  .status.is(GenericStatus::kCommandSequenceError))
      << "it runs, and there is another slot";
}

TEST_F(FirmwareTest, BadImagesAreNotCommitted) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  const auto invalid = CommandStatus::kInvalidFirmwareImage;
  EXPECT_TRUE(commit(host, FirmwareAction::kReplace, 2).is(invalid)) << "nothing was downloaded";
  EXPECT_TRUE(commit(host, FirmwareAction::kActivateAtReset, 2).is(invalid)) << "an empty slot";
  const std::size_t wrong_bytes[] = {0, 8, 16, 20, 24, 28, 100};
  for (const std::size_t at : wrong_bytes) {
    auto bytes = image("5", 8192);
    bytes[at] = std::byte{0xff};
    const FirmwareUpdateResult result =
        update(host, bytes, FirmwareAction::kReplaceAndActivateNow, 2);
    EXPECT_TRUE(result.status.is(invalid)) << at;
    EXPECT_FALSE(result.committed) << at;
    EXPECT_EQ(result.activation, FirmwareActivation::kNone) << at;
  }
  auto bytes = image("5", 12288);
  EXPECT_EQ(download(host, bytes, 0, 4096), good());
  EXPECT_EQ(download(host, bytes, 8192, 4096), good());
  EXPECT_TRUE(commit(host, FirmwareAction::kReplace, 2).is(invalid)) << "a piece is missing";
  EXPECT_EQ(running(host), "1");
  EXPECT_EQ(revision(slots(host), 2), "");
}

TEST_F(FirmwareTest, PiecesMayComeInAnyOrderButNotOverlap) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto bytes = image("6", 16384);
  EXPECT_EQ(download(host, bytes, 8192, 8192), good());
  EXPECT_TRUE(download(host, bytes, 4096, 8192).is(CommandStatus::kOverlappingRange));
  EXPECT_TRUE(download(host, bytes, 12288, 4096).is(CommandStatus::kOverlappingRange));
  EXPECT_TRUE(download(host, bytes, 2048, 4096).is(GenericStatus::kInvalidField)) << "FWUG";
  EXPECT_EQ(download(host, bytes, 0, 8192), good());
  EXPECT_EQ(commit(host, FirmwareAction::kReplaceAndActivateNow, 0), good());
  EXPECT_EQ(running(host), "6");
}

TEST_F(FirmwareTest, AResetDiscardsWhatWasDownloaded) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto bytes = image("7", 4096);
  EXPECT_EQ(download(host, bytes, 0, 4096), good());
  ASSERT_TRUE(host.initiator->reset(*host.controller));
  EXPECT_TRUE(commit(host, FirmwareAction::kReplace, 2).is(CommandStatus::kInvalidFirmwareImage));
}

TEST_F(FirmwareTest, SlotsThatCannotBeWrittenAreRefused) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto bytes = image("8", 4096);
  for (const std::uint8_t slot : {std::uint8_t{1}, std::uint8_t{4}, std::uint8_t{7}}) {
    EXPECT_TRUE(update(host, bytes, FirmwareAction::kReplaceAndActivateNow, slot)
                    .status.is(CommandStatus::kInvalidFirmwareSlot))
        << static_cast<int>(slot);
  }
  auto sqe = command::firmware_commit(FirmwareAction::kReplace, 2);
  sqe.cdw10 = 2u | (6u << 3);
  EXPECT_TRUE(host.admin(sqe).status.is(GenericStatus::kInvalidField)) << "a boot partition";
}

TEST_F(FirmwareTest, TwoUpdatesAtOnceAreSeen) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  Host& other = attach(1);
  auto bytes = image("9", 8192);
  EXPECT_EQ(download(other, bytes, 4096, 4096), good());
  const FirmwareUpdateResult result =
      update(host, bytes, FirmwareAction::kReplaceAndActivateNow, 2);
  EXPECT_TRUE(result.status.is(CommandStatus::kOverlappingRange));
  EXPECT_TRUE(result.overlapped);
}

TEST_F(FirmwareTest, WhatCannotBeSentIsRefusedHere) {
  serve("size=4M,bs=512");
  Host& host = attach(0);
  auto bytes = image("9", 4096);
  FirmwareUpdate update;
  EXPECT_EQ(update_firmware(*host.controller, update), -EINVAL) << "no image";
  update.image = std::span(bytes).first(4094);
  EXPECT_EQ(update_firmware(*host.controller, update), -EINVAL) << "half a dword";
  update.image = bytes;
  update.slot = 8;
  EXPECT_EQ(update_firmware(*host.controller, update), -EINVAL);
  update.slot = 0;
  update.action = FirmwareAction::kActivateAtReset;
  EXPECT_EQ(update_firmware(*host.controller, update), -EINVAL);
  EXPECT_EQ(sent(spec::AdminOpcode::kFirmwareCommit), 0u);
}

}  // namespace
}  // namespace nvublk::nvme
