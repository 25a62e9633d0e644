// Devices follow their namespaces: those appear, vanish, grow and turn into others while they are
// attached, at any moment.

#include "service/attachments_fixture.h"

namespace nvublk::service {
namespace {

class NamespaceChangesTest : public AttachmentsTest {
 protected:
  const Attachment& attachment() const { return *attachments_->find_controller("nvublk0"); }
  Json listed(const std::string& name) const {
    const Json report = list_report(*attachments_);
    for (const Json& device : report["devices"]) {
      if (device["name"] == name) return device;
    }
    return Json::object();
  }
  Json namespace_status(std::uint32_t nsid) const {
    const Json report = status_report({}, *attachments_, std::nullopt, Clock::now());
    for (const Json& block : report["controllers"][0]["namespaces"]) {
      if (block["nsid"] == nsid) return block;
    }
    return Json::object();
  }
  bool has(const std::string& name) const { return frontends_->shown.contains(name); }
  /// The controller has seen what the target has, and nothing is being changed.
  void settle() {
    turn_until([this] {
      const auto& status = attachment().controller_status();
      const auto there = target_->namespaces();
      bool same = attachment().live() && status.namespaces.size() == there.size();
      for (std::size_t i = 0; same && i < there.size(); i++) {
        same = status.namespaces[i].nsid == there[i].nsid &&
               status.namespaces[i].size_blocks == there[i].size_blocks &&
               status.namespaces[i].uuid == there[i].uuid;
      }
      return same;
    });
  }
};

TEST_F(NamespaceChangesTest, ANamespaceThatAppearsBecomesADevice) {
  ASSERT_TRUE(attach(request()));
  ASSERT_TRUE(target_->add_namespace({.size_bytes = 2 << 20}));
  turn_until([this] { return has("nvublk0n4"); });
  settle();
  EXPECT_EQ(listed("nvublk0n4")["size_bytes"], 2 << 20);
  EXPECT_EQ(listed("nvublk0n4")["state"], "live");
  EXPECT_EQ(detach("nvublk0").devices.size(), 4u);
}

TEST_F(NamespaceChangesTest, WithNamedNamespacesOnlyThoseGetADevice) {
  AttachRequest wanted = request();
  wanted.nsids = {1, 2};
  ASSERT_TRUE(attach(wanted));
  ASSERT_TRUE(target_->add_namespace({.size_bytes = 2 << 20}));
  ASSERT_TRUE(target_->remove_namespace(2));
  turn_until([this] { return !has("nvublk0n2"); });
  settle();
  EXPECT_EQ(frontends_->shown, std::set<std::string>{"nvublk0n1"});
  ASSERT_TRUE(target_->add_namespace({.nsid = 2, .size_bytes = 2 << 20}));
  turn_until([this] { return has("nvublk0n2"); });
  settle();
  EXPECT_EQ(frontends_->shown, (std::set<std::string>{"nvublk0n1", "nvublk0n2"}));
}

TEST_F(NamespaceChangesTest, ANamespaceThatVanishesTakesItsDeviceAlongEvenWhileItIsOpen) {
  ASSERT_TRUE(attach(request()));
  frontends_->held = {"/dev/fake-nvublk0n2"};
  ASSERT_TRUE(target_->remove_namespace(2));
  turn_until([this] { return !has("nvublk0n2"); });
  settle();
  EXPECT_EQ(frontends_->forced, 1u);
  EXPECT_EQ(frontends_->shown, (std::set<std::string>{"nvublk0n1", "nvublk0n3"}));
}

TEST_F(NamespaceChangesTest, TheControllerStaysWhenItsLastNamespaceVanishes) {
  ASSERT_TRUE(attach(request()));
  for (const std::uint32_t nsid : {1u, 2u, 3u}) ASSERT_TRUE(target_->remove_namespace(nsid));
  turn_until([this] { return frontends_->shown.empty(); });
  settle();
  EXPECT_EQ(attachment().controller_state(), nvme::ControllerState::kLive);
  ASSERT_TRUE(target_->add_namespace({.nsid = 7, .size_bytes = 2 << 20}));
  turn_until([this] { return has("nvublk0n7"); });
  ASSERT_TRUE(target_->remove_namespace(7));
  turn_until([this] { return frontends_->shown.empty(); });
  settle();
  EXPECT_TRUE(detach("nvublk0").status) << "also without a device";
  expect_nothing_left();
}

TEST_F(NamespaceChangesTest, ANamespaceThatGrewHasItsDeviceResized) {
  ASSERT_TRUE(attach(request()));
  ASSERT_TRUE(target_->resize_namespace(2, 3 << 20));
  turn_until([this] { return !frontends_->resized.empty(); });
  settle();
  EXPECT_EQ(frontends_->resized, std::vector<std::string>{"nvublk0n2"});
  EXPECT_EQ(listed("nvublk0n2")["size_bytes"], 3 << 20);
  EXPECT_EQ(listed("nvublk0n2")["reason"], "");
}

TEST_F(NamespaceChangesTest, WhereTheKernelCannotResizeTheStatusSaysSo) {
  frontends_->resizes = false;
  ASSERT_TRUE(attach(request()));
  ASSERT_TRUE(target_->resize_namespace(2, 3 << 20));
  turn_until([this] { return listed("nvublk0n2")["reason"] != ""; });
  settle();
  EXPECT_EQ(listed("nvublk0n2")["reason"], "it cannot be resized");
  EXPECT_EQ(listed("nvublk0n2")["size_bytes"], 1 << 20) << "what the device has";
  EXPECT_EQ(listed("nvublk0n2")["state"], "live");
  EXPECT_EQ(namespace_status(2)["size_blocks"], (3 << 20) / 4096) << "what the namespace has";
  EXPECT_EQ(frontends_->resized.size(), 1u) << "once for each size";
  frontends_->resizes = true;
  ASSERT_TRUE(target_->resize_namespace(2, 4 << 20));
  turn_until([this] { return listed("nvublk0n2")["size_bytes"] == 4 << 20; });
  EXPECT_EQ(listed("nvublk0n2")["reason"], "");
}

// Removed and added at once, so that the host sees both in one look.
TEST_F(NamespaceChangesTest, AnotherIdentityMakesTheDeviceFailUntilItIsDetached) {
  ASSERT_TRUE(attach(request()));
  target::Fault slow;
  slow.kind = target::FaultKind::kDelay;
  slow.queues = target::FaultQueues::kAdmin;
  slow.opcode = static_cast<std::uint8_t>(nvme::spec::AdminOpcode::kGetLogPage);
  slow.delay_ms = 100;
  target_->inject(slow);
  ASSERT_TRUE(target_->remove_namespace(2));
  ASSERT_TRUE(target_->add_namespace(
      {.nsid = 2, .size_bytes = 1 << 20, .uuid = "11111111-2222-3333-4444-555555555555"}));
  turn_until([this] { return listed("nvublk0n2")["state"] == "failed"; });
  target_->clear_faults();
  settle();
  const std::string reason = listed("nvublk0n2")["reason"];
  EXPECT_NE(reason.find("11111111-2222-3333-4444-555555555555"), std::string::npos) << reason;
  const std::string waits = namespace_status(2)["reason"];
  EXPECT_NE(waits.find("nvublk0n2"), std::string::npos) << waits;
  EXPECT_EQ(listed("nvublk0n1")["state"], "live");
  EXPECT_TRUE(detach("nvublk0n2").status);
  turn_until([this] { return listed("nvublk0n2")["state"] == "live"; });
  EXPECT_EQ(listed("nvublk0n2")["uuid"], "11111111-2222-3333-4444-555555555555");
  EXPECT_EQ(namespace_status(2)["reason"], "");
}

TEST_F(NamespaceChangesTest, ADeviceThatDoesNotStartIsNamedInTheStatus) {
  ASSERT_TRUE(attach(request()));
  frontends_->fails_to_start = {"nvublk0n4"};
  ASSERT_TRUE(target_->add_namespace({.size_bytes = 2 << 20}));
  turn_until([this] { return namespace_status(4).value("reason", "") != ""; });
  settle();
  const std::string reason = namespace_status(4)["reason"];
  EXPECT_NE(reason.find("it does not want to"), std::string::npos) << reason;
  EXPECT_EQ(list_report(*attachments_)["devices"].size(), 3u);
}

TEST_F(NamespaceChangesTest, ADetachWhileADeviceIsMadeGivesThatUp) {
  ASSERT_TRUE(attach(request()));
  frontends_->hangs = {"nvublk0n4"};
  ASSERT_TRUE(target_->add_namespace({.size_bytes = 2 << 20}));
  turn_until([this] { return frontends_->waits(); });
  std::optional<Attachments::Detached> outcome;
  attachments_->detach("nvublk0", false, [&](Attachments::Detached result) { outcome = result; });
  frontends_->release();
  turn_until([&] { return outcome.has_value(); });
  EXPECT_TRUE(outcome->status);
  expect_nothing_left();
}

TEST_F(NamespaceChangesTest, ChangesWhileDevicesStartAreSeenOnceTheyHave) {
  frontends_->hangs = {"nvublk0n2"};
  std::optional<Status> outcome;
  ASSERT_TRUE(
      attachments_->attach(request(), [&outcome](Status status) { outcome = std::move(status); }));
  turn_until([this] { return frontends_->waits(); });
  ASSERT_TRUE(target_->remove_namespace(1));
  ASSERT_TRUE(target_->add_namespace({.nsid = 4, .size_bytes = 2 << 20}));
  turn_until([this] { return attachment().controller_status().namespaces.size() == 3; });
  turn_until([this] { return namespace_status(4).contains("nsid"); });
  frontends_->hangs.clear();
  frontends_->release();
  turn_until([&] { return outcome.has_value(); });
  EXPECT_TRUE(*outcome);
  turn_until([this] { return has("nvublk0n4") && !has("nvublk0n1"); });
}

TEST_F(NamespaceChangesTest, AReconnectFindsWhatChangedMeanwhile) {
  AttachRequest wanted = request();
  ASSERT_TRUE(attach(wanted));
  target::Fault refuse;
  refuse.kind = target::FaultKind::kRefuse;
  target_->inject(refuse);
  ASSERT_GT(target_->drop_connections(), 0u);
  turn_until(
      [this] { return attachment().controller_state() == nvme::ControllerState::kReconnecting; });
  ASSERT_TRUE(target_->remove_namespace(1));
  ASSERT_TRUE(target_->resize_namespace(2, 3 << 20));
  ASSERT_TRUE(target_->add_namespace({.nsid = 4, .size_bytes = 2 << 20}));
  target_->clear_faults();
  turn_until([this] { return has("nvublk0n4") && !has("nvublk0n1"); });
  settle();
  EXPECT_EQ(listed("nvublk0n2")["size_bytes"], 3 << 20);
}

TEST_F(NamespaceChangesTest, ManyChangesEndWhereTheTargetDoes) {
  ASSERT_TRUE(attach(request()));
  for (int round = 0; round < 30; round++) {
    ASSERT_TRUE(target_->add_namespace({.nsid = 5, .size_bytes = 1 << 20}));
    if (round % 3 == 0) pool_->control().reactor().turn(false);
    ASSERT_TRUE(target_->resize_namespace(5, 2 << 20));
    ASSERT_TRUE(target_->resize_namespace(1, static_cast<std::uint64_t>(round + 2) << 20));
    ASSERT_TRUE(target_->remove_namespace(5));
  }
  turn_until([this] { return listed("nvublk0n1")["size_bytes"] == 31 << 20; });
  settle();
  turn_until([this] { return !has("nvublk0n5"); });
  EXPECT_EQ(frontends_->shown, (std::set<std::string>{"nvublk0n1", "nvublk0n2", "nvublk0n3"}));
}

}  // namespace
}  // namespace nvublk::service
