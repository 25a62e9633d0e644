// The Zoned Namespace command set over TCP.

#include <cerrno>

#include "nvme/command.h"
#include "nvme/library/commands_fixture.h"
#include "nvme/zone_report.h"

namespace nvublk::nvme {
namespace {

using command::ZoneSendAction;
using spec::NvmStatusCode;
using spec::ZoneState;

// 16 zones of 64 blocks of 4096 bytes, 48 of which can be written; 3 open, 4 active.
class ZonedTest : public CommandsTest {
 protected:
  static constexpr std::uint64_t kZone = 64;
  static constexpr std::uint64_t kCapacity = 48;

  void SetUp() override {
    CommandsTest::SetUp();
    target::Options options;
    options.max_transfer_bytes = 65536;  // 16 blocks
    serve("size=4M,bs=4096,zsze=256K,zcap=192K,mor=3,mar=4", options);
    host_ = &attach(0);
    ASSERT_TRUE(host_->io->zones());
  }
  spec::NvmeStatus send(ZoneSendAction action, std::uint64_t zone, bool all = false) {
    return host_
        ->run([&](NamespaceIo& io, Ended& ended) {
          return io.zone_send(action, zone * kZone, all, &Ended::record, &ended);
        })
        .status;
  }
  spec::NvmeStatus write(std::uint64_t lba, std::uint64_t count) {
    auto data = pattern(count * 4096, static_cast<unsigned>(lba));
    return host_
        ->run([&](NamespaceIo& io, Ended& ended) {
          return io.write(blocks(lba, count, data, ended));
        })
        .status;
  }
  Ended append(std::uint64_t zone, std::uint64_t count) {
    auto data = pattern(count * 4096, 77);
    return host_->run([&](NamespaceIo& io, Ended& ended) {
      return io.zone_append(blocks(zone * kZone, count, data, ended));
    });
  }
  ZoneReportData report(NamespaceIo::ZoneReport what = {}, std::size_t length = 8192) {
    std::vector<std::byte> memory(length);
    what.memory = {memory.data(), memory.size()};
    EXPECT_EQ(host_
                  ->run([&](NamespaceIo& io, Ended& ended) {
                    return io.zone_report(what, &Ended::record, &ended);
                  })
                  .status,
              good());
    const auto decoded =
        decode_zone_report(memory, what.extended ? host_->io->zones()->extension_bytes : 0);
    EXPECT_TRUE(decoded);
    return decoded.value_or(ZoneReportData{});
  }
  Zone zone(std::uint64_t index) {
    NamespaceIo::ZoneReport what;
    what.lba = index * kZone;
    return report(what, 128).zones.at(0);
  }

  Host* host_ = nullptr;
};

TEST_F(ZonedTest, ZoneGeometryIsKnown) {
  const ZonedFormat& zones = *host_->io->zones();
  EXPECT_EQ(zones.zone_blocks, kZone);
  EXPECT_EQ(zones.max_open_zones, 3u);
  EXPECT_EQ(zones.max_active_zones, 4u);
  EXPECT_EQ(zones.extension_bytes, 64u);
  EXPECT_TRUE(zones.reads_across_zones);
  EXPECT_FALSE(zones.variable_capacity);
  EXPECT_EQ(host_->io->zone_count(), 16u);
  EXPECT_EQ(host_->io->max_append_blocks(), 16u);
}

TEST_F(ZonedTest, AReportSaysWhatThereIs) {
  const ZoneReportData all = report();
  EXPECT_EQ(all.zone_count, 16u);
  ASSERT_EQ(all.zones.size(), 16u);
  EXPECT_EQ(all.zones[3].lba, 3 * kZone);
  EXPECT_EQ(all.zones[3].capacity_blocks, kCapacity);
  EXPECT_EQ(all.zones[3].write_pointer, 3 * kZone);
  EXPECT_EQ(all.zones[3].state, ZoneState::kEmpty);
  // Room for two descriptors.
  NamespaceIo::ZoneReport what;
  what.lba = 5 * kZone + 9;
  EXPECT_EQ(report(what, 192).zone_count, 2u) << "partial: of those that fit";
  what.partial = false;
  const ZoneReportData full = report(what, 192);
  EXPECT_EQ(full.zone_count, 11u);
  ASSERT_EQ(full.zones.size(), 2u);
  EXPECT_EQ(full.zones[0].lba, 5 * kZone);
  ASSERT_EQ(write(2 * kZone, 1), good());
  what = {};
  what.option = command::ZoneReportOption::kImplicitlyOpen;
  const ZoneReportData open = report(what);
  ASSERT_EQ(open.zones.size(), 1u);
  EXPECT_EQ(open.zones[0].write_pointer, 2 * kZone + 1);
}

TEST_F(ZonedTest, WritesGoToTheWritePointer) {
  EXPECT_EQ(write(0, 4), good());
  EXPECT_TRUE(write(0, 4).is(NvmStatusCode::kZoneInvalidWrite)) << "behind it";
  EXPECT_TRUE(write(5, 1).is(NvmStatusCode::kZoneInvalidWrite)) << "beyond it";
  EXPECT_EQ(write(4, 40), good()) << "split, in order";
  EXPECT_TRUE(write(44, 5).is(NvmStatusCode::kZoneBoundaryError));
  EXPECT_EQ(write(44, 4), good());
  EXPECT_EQ(zone(0).state, ZoneState::kFull);
  EXPECT_TRUE(write(47, 1).is(NvmStatusCode::kZoneFull));
}

TEST_F(ZonedTest, AppendReportsWhereTheDataWent) {
  EXPECT_EQ(append(1, 3).result, kZone);
  const Ended second = append(1, 16);
  EXPECT_EQ(second.status, good());
  EXPECT_EQ(second.result, kZone + 3);
  std::vector<std::byte> back(16 * 4096);
  ASSERT_EQ(host_
                ->run([&](NamespaceIo& io, Ended& ended) {
                  return io.read(blocks(kZone + 3, 16, back, ended));
                })
                .status,
            good());
  EXPECT_EQ(back, pattern(16 * 4096, 77));
  append(1, 16);
  EXPECT_TRUE(append(1, 16).status.is(NvmStatusCode::kZoneBoundaryError)) << "13 are left";
}

TEST_F(ZonedTest, AppendIsNeverSplit) {
  auto data = pattern(17 * 4096, 1);
  Ended ended;
  EXPECT_EQ(host_->io->zone_append(blocks(0, 17, data, ended)), -EINVAL) << "more than ZASL";
  data.resize(4096);
  EXPECT_EQ(host_->io->zone_append(blocks(1, 1, data, ended)), -EINVAL) << "not a zone's begin";
  EXPECT_EQ(commands(spec::NvmOpcode::kZoneAppend), 0u);
}

TEST_F(ZonedTest, ActionsMoveZonesThroughTheirStates) {
  EXPECT_EQ(send(ZoneSendAction::kOpen, 0), good());
  EXPECT_EQ(zone(0).state, ZoneState::kExplicitlyOpen);
  EXPECT_EQ(send(ZoneSendAction::kClose, 0), good());
  EXPECT_EQ(zone(0).state, ZoneState::kEmpty) << "nothing was written";
  ASSERT_EQ(write(0, 1), good());
  EXPECT_EQ(zone(0).state, ZoneState::kImplicitlyOpen);
  EXPECT_EQ(send(ZoneSendAction::kClose, 0), good());
  EXPECT_EQ(zone(0).state, ZoneState::kClosed);
  EXPECT_EQ(send(ZoneSendAction::kFinish, 0), good());
  EXPECT_EQ(zone(0).state, ZoneState::kFull);
  EXPECT_TRUE(send(ZoneSendAction::kClose, 0).is(NvmStatusCode::kInvalidZoneTransition));
  EXPECT_TRUE(send(ZoneSendAction::kOpen, 0).is(NvmStatusCode::kInvalidZoneTransition));
  EXPECT_TRUE(send(ZoneSendAction::kOffline, 0).is(NvmStatusCode::kInvalidZoneTransition));
  EXPECT_EQ(send(ZoneSendAction::kReset, 0), good());
  EXPECT_EQ(zone(0).state, ZoneState::kEmpty);
  std::vector<std::byte> back(4096, std::byte{1});
  ASSERT_EQ(
      host_->run([&](NamespaceIo& io, Ended& ended) { return io.read(blocks(0, 1, back, ended)); })
          .status,
      good());
  EXPECT_EQ(back, std::vector<std::byte>(4096)) << "a reset gives the data up";
}

TEST_F(ZonedTest, OpenAndActiveZonesAreLimited) {
  for (std::uint64_t i = 0; i < 3; i++) ASSERT_EQ(send(ZoneSendAction::kOpen, i), good());
  EXPECT_TRUE(send(ZoneSendAction::kOpen, 3).is(NvmStatusCode::kTooManyOpenZones));
  ASSERT_EQ(write(0, 1), good());
  ASSERT_EQ(send(ZoneSendAction::kClose, 0), good());
  ASSERT_EQ(write(3 * kZone, 1), good());
  EXPECT_TRUE(write(4 * kZone, 1).is(NvmStatusCode::kTooManyActiveZones));
  EXPECT_EQ(write(1, 1), good()) << "an implicitly open one is closed for it";
  EXPECT_EQ(zone(3).state, ZoneState::kClosed);
  EXPECT_EQ(send(ZoneSendAction::kReset, 0, true), good());
  EXPECT_EQ(write(4 * kZone, 1), good());
}

TEST_F(ZonedTest, ActionsOnAllZones) {
  ASSERT_EQ(write(0, 1), good());
  ASSERT_EQ(write(kZone, 1), good());
  EXPECT_EQ(send(ZoneSendAction::kClose, 0, true), good());
  EXPECT_EQ(zone(1).state, ZoneState::kClosed);
  EXPECT_EQ(send(ZoneSendAction::kOpen, 0, true), good());
  EXPECT_EQ(zone(0).state, ZoneState::kExplicitlyOpen);
  EXPECT_EQ(zone(2).state, ZoneState::kEmpty) << "only closed ones are opened";
  EXPECT_EQ(send(ZoneSendAction::kFinish, 0, true), good());
  EXPECT_EQ(zone(0).state, ZoneState::kFull);
  EXPECT_EQ(zone(2).state, ZoneState::kEmpty);
  EXPECT_EQ(send(ZoneSendAction::kReset, 0, true), good());
  EXPECT_EQ(zone(0).state, ZoneState::kEmpty);
}

TEST_F(ZonedTest, ExtensionsStayWithTheirZone) {
  auto extension = pattern(64, 9);
  const iovec memory{extension.data(), extension.size()};
  const auto set = [&](std::uint64_t index) {
    return host_
        ->run([&](NamespaceIo& io, Ended& ended) {
          return io.set_zone_extension(index * kZone, memory, &Ended::record, &ended);
        })
        .status;
  };
  EXPECT_EQ(set(2), good());
  EXPECT_EQ(zone(2).state, ZoneState::kClosed);
  EXPECT_TRUE(set(2).is(NvmStatusCode::kInvalidZoneTransition)) << "only of an empty zone";
  NamespaceIo::ZoneReport what;
  what.lba = 2 * kZone;
  what.extended = true;
  const ZoneReportData extended = report(what);
  ASSERT_GE(extended.zones.size(), 2u);
  EXPECT_EQ(extended.zones[0].extension, extension);
  EXPECT_TRUE(extended.zones[1].extension.empty());
  EXPECT_EQ(send(ZoneSendAction::kReset, 2), good());
  EXPECT_TRUE(report(what).zones[0].extension.empty());
}

TEST_F(ZonedTest, ZonesThatFailedSaySo) {
  ASSERT_EQ(write(0, 1), good());
  ASSERT_TRUE(target_->fail_zone(1, 0, false));
  EXPECT_TRUE(write(1, 1).is(NvmStatusCode::kZoneReadOnly));
  std::vector<std::byte> back(4096);
  const auto read = [&](NamespaceIo& io, Ended& ended) {
    return io.read(blocks(0, 1, back, ended));
  };
  EXPECT_EQ(host_->run(read).status, good());
  EXPECT_EQ(send(ZoneSendAction::kOffline, 0), good());
  EXPECT_TRUE(host_->run(read).status.is(NvmStatusCode::kZoneOffline));
  EXPECT_TRUE(send(ZoneSendAction::kReset, 0).is(NvmStatusCode::kInvalidZoneTransition));
}

TEST_F(ZonedTest, WhatCannotBeIsRefusedHere) {
  Ended ended;
  EXPECT_EQ(host_->io->zone_send(ZoneSendAction::kOpen, 1, false, &Ended::record, &ended), -EINVAL);
  EXPECT_EQ(host_->io->zone_send(ZoneSendAction::kOpen, 16 * kZone, false, &Ended::record, &ended),
            -EINVAL);
  std::vector<std::byte> little(60);
  NamespaceIo::ZoneReport what;
  what.memory = {little.data(), little.size()};
  EXPECT_EQ(host_->io->zone_report(what, &Ended::record, &ended), -EINVAL);
}

TEST_F(ZonedTest, AsABlockDeviceItHasItsZones) {
  const Namespace* zoned = host_->controller->find_namespace(1);
  EXPECT_EQ(zoned->unusable(), "");
  const BlockZones zones{
      .zone_blocks = kZone, .max_open = 3, .max_active = 4, .max_append_bytes = 65536};
  EXPECT_EQ(zoned->geometry().zones, zones);
}

class FlatTest : public CommandsTest {};

TEST_F(FlatTest, ANamespaceWithoutZonesHasNoZoneCommands) {
  serve("size=4M,bs=4096");
  Host& host = attach(0);
  Ended ended;
  auto data = pattern(4096, 1);
  EXPECT_FALSE(host.io->zones());
  EXPECT_EQ(host.io->zone_count(), 0u);
  EXPECT_EQ(host.io->zone_append(blocks(0, 1, data, ended)), -ENOTSUP);
  EXPECT_EQ(host.io->zone_send(ZoneSendAction::kReset, 0, true, &Ended::record, &ended), -ENOTSUP);
}

TEST_F(FlatTest, ExtendedBlocksAreNoBlockDevice) {
  serve("size=4M,bs=4096,ms=16");
  Host& host = attach(0);
  const std::string why = host.controller->find_namespace(1)->unusable();
  EXPECT_NE(why.find("metadata"), std::string::npos) << why;
}

}  // namespace
}  // namespace nvublk::nvme
