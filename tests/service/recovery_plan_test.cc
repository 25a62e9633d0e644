// Which devices of a dead daemon are resumed, and what is an orphan.

#include "service/recovery_plan.h"

#include <gtest/gtest.h>

namespace nvublk::service {
namespace {

constexpr std::uint16_t kOwner = 77;

SavedAttachment attachment_of(const std::string& name, std::vector<int> ids) {
  SavedAttachment attachment;
  attachment.request.controller.name = name;
  for (const int id : ids) {
    SavedDevice device;
    device.id = id;
    device.name = name + "n" + std::to_string(id);
    device.key = static_cast<std::uint16_t>(id + 1);
    attachment.devices.push_back(device);
  }
  return attachment;
}

ublk::DeviceSummary there(int id, ublk::DeviceState state = ublk::DeviceState::kQuiesced) {
  ublk::DeviceSummary device;
  device.id = static_cast<std::uint32_t>(id);
  device.state = state;
  device.mark = ublk::DeviceMark{kOwner, static_cast<std::uint16_t>(id + 1)};
  device.server_pid = -1;
  return device;
}

std::vector<int> ids_of(const SavedAttachment& attachment) {
  std::vector<int> ids;
  for (const SavedDevice& device : attachment.devices) {
    ids.push_back(device.id);
  }
  return ids;
}

TEST(RecoveryPlan, ResumesWhatIsThereAlsoWhileItsServerIsStillDying) {
  SavedState state{false, {attachment_of("a", {0, 1}), attachment_of("b", {2})}};
  const RecoveryPlan plan =
      plan_recovery(state, {there(0), there(1, ublk::DeviceState::kLive), there(2)}, kOwner);
  ASSERT_EQ(plan.resumable.size(), 2U);
  EXPECT_EQ(ids_of(plan.resumable[0]), (std::vector<int>{0, 1}));
  EXPECT_EQ(plan.resumable[1].request.controller.name, "b");
  EXPECT_TRUE(plan.orphans.empty());
}

TEST(RecoveryPlan, StateWithoutItsDeviceIsAnOrphan) {
  SavedState state{false, {attachment_of("a", {0, 1, 2, 3}), attachment_of("b", {4})}};
  ublk::DeviceSummary other = there(1);
  other.mark->key = 99;  // made later, with the same number
  ublk::DeviceSummary foreign = there(2);
  foreign.mark.reset();
  const RecoveryPlan plan =
      plan_recovery(state, {there(0), other, foreign, there(3, ublk::DeviceState::kDead)}, kOwner);
  ASSERT_EQ(plan.resumable.size(), 1U);
  EXPECT_EQ(ids_of(plan.resumable[0]), std::vector<int>{0});
  std::vector<std::string> lost;
  std::vector<std::string> unknown;
  for (const Orphan& orphan : plan.orphans) {
    (orphan.kind == Orphan::Kind::kState ? lost : unknown).push_back(orphan.path);
    EXPECT_FALSE(orphan.reason.empty());
    EXPECT_FALSE(orphan.cleaned);
  }
  EXPECT_EQ(lost,
            (std::vector<std::string>{"/dev/ublkb1", "/dev/ublkb2", "/dev/ublkb3", "/dev/ublkb4"}));
  EXPECT_EQ(unknown, (std::vector<std::string>{"/dev/ublkb1", "/dev/ublkb3"}));
}

TEST(RecoveryPlan, ALocalDriveWithoutADeviceIsGivenBack) {
  SavedState state{false,
                   {attachment_of("a", {0}), attachment_of("b", {1}), attachment_of("c", {2}),
                    attachment_of("d", {3})}};
  for (SavedAttachment& each : state.attachments) {
    each.request.controller.transport.id = {.trtype = nvme::Trtype::kPcie,
                                            .traddr = "0000:01:00.0"};
    each.drive_returns_to = "nvme";
  }
  state.attachments[1].request.controller.transport.id.traddr = "0000:02:00.0";
  state.attachments[2].drive_returns_to.reset();
  state.attachments[3].request.controller.transport.id.traddr = "nonsense";
  const RecoveryPlan plan = plan_recovery(state, {there(0)}, kOwner);
  EXPECT_EQ(plan.resumable.size(), 1U);
  ASSERT_EQ(plan.drives.size(), 1U);
  EXPECT_EQ(plan.drives[0].address.to_string(), "0000:02:00.0");
  EXPECT_EQ(plan.drives[0].driver, "nvme");
  EXPECT_TRUE(plan.drives[0].changed);
}

TEST(RecoveryPlan, DevicesOfOtherDaemonsAndProgramsAreNoOrphans) {
  ublk::DeviceSummary neighbour = there(0);
  neighbour.mark->owner = kOwner + 1;
  ublk::DeviceSummary foreign = there(1);
  foreign.mark.reset();
  ublk::DeviceSummary starting = there(2);
  starting.server_pid = 4711;
  const auto orphans =
      find_orphans({neighbour, foreign, starting, there(3), there(4)}, {{3, 4}}, kOwner, 4711);
  ASSERT_EQ(orphans.size(), 1U);
  EXPECT_EQ(orphans[0].path, "/dev/ublkb4");
  EXPECT_EQ(orphans[0].kind, Orphan::Kind::kDevice);
  EXPECT_EQ(orphan_json(orphans[0])["kind"], "device");
}

}  // namespace
}  // namespace nvublk::service
