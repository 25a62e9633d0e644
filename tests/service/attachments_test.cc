#include "service/attachments_fixture.h"

namespace nvublk::service {
namespace {

TEST_F(AttachmentsTest, NamespacesThatCannotBeShownAreRefusedWithTheReason) {
  const auto zoned = target_->add_namespace({.size_bytes = 1 << 20, .zone_bytes = 64 << 10});
  const auto extended =
      target_->add_namespace({.size_bytes = 1 << 20, .metadata_bytes = 16, .protection_type = 1});
  ASSERT_TRUE(zoned && extended);
  const std::pair<std::uint32_t, const char*> cases[] = {{*zoned, "it is zoned"},
                                                         {*extended, "16 bytes of metadata"}};
  for (const auto& [nsid, reason] : cases) {
    AttachRequest wanted = request();
    wanted.nsids = {nsid};
    const auto refused = attach(wanted);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(refused.error().text.find(reason), std::string::npos) << refused.error().text;
  }
  expect_nothing_left();
  ASSERT_TRUE(attach(request()));
  EXPECT_EQ(frontends_->shown.size(), 3u) << "the others are shown";
}

TEST_F(AttachmentsTest, AZonedNamespaceIsShownWhereTheFrontEndHasZones) {
  const auto zoned = target_->add_namespace({.size_bytes = 1 << 20, .zone_bytes = 64 << 10});
  ASSERT_TRUE(zoned);
  frontends_->shows_zones = true;
  AttachRequest wanted = request();
  wanted.nsids = {*zoned};
  const auto name = attach(wanted);
  ASSERT_TRUE(name) << name.error().text;
  EXPECT_EQ(frontends_->shown, std::set<std::string>{*name + "n" + std::to_string(*zoned)});
}

TEST_F(AttachmentsTest, ShowsEveryActiveNamespace) {
  const auto name = attach(request());
  ASSERT_TRUE(name.has_value()) << name.error().text;
  EXPECT_EQ(*name, "nvublk0");
  const Json report = list_report(*attachments_);
  ASSERT_EQ(report["devices"].size(), 3U);
  const Json& device = report["devices"][1];
  std::vector<std::string> keys;
  for (const auto& [key, value] : device.items()) {
    keys.push_back(key);
  }
  EXPECT_EQ(keys, (std::vector<std::string>{"device", "name", "controller", "nsid", "transport",
                                            "traddr", "trsvcid", "subnqn", "size_bytes",
                                            "block_size", "model", "serial", "uuid", "nguid",
                                            "eui64", "frontend", "state", "reason"}));
  EXPECT_EQ(device["name"], "nvublk0n2");
  EXPECT_EQ(device["transport"], "tcp");
  EXPECT_EQ(device["size_bytes"], 1 << 20);
  EXPECT_EQ(device["state"], "live");
}

TEST_F(AttachmentsTest, StatusHasTheFieldsOfTheContract) {
  ASSERT_TRUE(attach(request()).has_value());
  const Json report =
      status_report({.version = "1", .pid = 5, .started = Clock::now(), .shards = pool_->set().io},
                    *attachments_, std::nullopt, Clock::now());
  const auto keys = [](const Json& object) {
    std::string text;
    for (const auto& [key, value] : object.items()) {
      text += (text.empty() ? "" : " ") + key;
    }
    return text;
  };
  EXPECT_EQ(keys(report), "daemon controllers devices");
  EXPECT_EQ(keys(report["daemon"]), "version pid uptime_s shards");
  EXPECT_EQ(keys(report["daemon"]["shards"][0]),
            "id cpu numa_node mode spin_us turns sleeps enters completions");
  const Json& controller = report["controllers"][0];
  EXPECT_EQ(
      keys(controller),
      "name state reason step step_since_ms step_deadline_ms recovery policy transport_id host "
      "authentication tls_cipher cntlid model serial firmware version keep_alive_ms queues "
      "namespaces");
  EXPECT_EQ(keys(controller["host"]), "nqn id");
  EXPECT_TRUE(controller["authentication"].is_null()) << "nobody asked for it";
  EXPECT_EQ(controller["host"]["nqn"], kHost);
  EXPECT_EQ(keys(controller["queues"][0]),
            "qid shard state depth outstanding submitted completed errors failure");
  EXPECT_EQ(keys(controller["namespaces"][0]),
            "nsid size_blocks block_size uuid nguid eui64 state device ana_state reason");
  EXPECT_EQ(
      keys(report["devices"][0]),
      "device name nsid frontend state reason size_bytes queues depth features outlives_daemon "
      "in_flight reads writes flushes discards write_zeroes read_bytes write_bytes errors");
}

TEST_F(AttachmentsTest, TakesNamesNumbersAndOptionsToTheDevices) {
  AttachRequest wanted = request();
  wanted.controller.name = "disk";
  wanted.nsids = {3, 1};
  wanted.first_id = 7;
  wanted.depth = 16;
  wanted.read_only = true;
  ASSERT_TRUE(attach(wanted).has_value());
  ASSERT_EQ(frontends_->made.size(), 2U);
  EXPECT_EQ(frontends_->made[0].name, "diskn1");
  EXPECT_EQ(frontends_->made[0].id, 7);
  EXPECT_EQ(frontends_->made[1].name, "diskn3");
  EXPECT_EQ(frontends_->made[1].id, 8);
  EXPECT_EQ(frontends_->made[1].depth, 16U);
  EXPECT_TRUE(frontends_->made[1].read_only);
}

TEST_F(AttachmentsTest, RefusesTheSameSubsystemTwice) {
  ASSERT_TRUE(attach(request()).has_value());
  const auto again = attach(request());
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kAlreadyExists);
  EXPECT_NE(again.error().text.find("already attached as nvublk0"), std::string::npos);
  AttachRequest other_host = request();
  other_host.hostnqn = "nqn.2026-01.io.nvublk:other-host";
  EXPECT_EQ(attach(other_host).value_or(""), "nvublk1");
  AttachRequest same_name = request();
  same_name.hostnqn = "nqn.2026-01.io.nvublk:third-host";
  same_name.controller.name = "nvublk1";
  EXPECT_EQ(attach(same_name).error().code, ErrorCode::kAlreadyExists);
}

TEST_F(AttachmentsTest, UndoesEverythingWhenANamespaceIsMissing) {
  AttachRequest wanted = request();
  wanted.nsids = {1, 9};
  const auto name = attach(wanted);
  ASSERT_FALSE(name.has_value());
  EXPECT_NE(name.error().text.find("namespace 9"), std::string::npos) << name.error().text;
  EXPECT_NE(name.error().text.find("1, 2, 3"), std::string::npos) << name.error().text;
  expect_nothing_left();
}

TEST_F(AttachmentsTest, UndoesEverythingWhenADeviceDoesNotStart) {
  frontends_->fails_to_start = {"nvublk0n3"};
  const auto name = attach(request());
  ASSERT_FALSE(name.has_value());
  EXPECT_NE(name.error().text.find("nvublk0n3: it does not want to"), std::string::npos);
  EXPECT_FALSE(name.error().step.empty());
  expect_nothing_left();
  EXPECT_EQ(frontends_->made.size(), 3U);
}

TEST_F(AttachmentsTest, FailsBeforeConnectingWhereThereIsNoFrontend) {
  frontends_->available = false;
  EXPECT_EQ(attach(request()).error().code, ErrorCode::kUnsupported);
  expect_nothing_left();
}

TEST_F(AttachmentsTest, AnAttachThatIsGivenUpWhileItConnectsLeavesNothing) {
  target_->inject({.kind = target::FaultKind::kBlackHole});
  std::optional<Status> outcome;
  const auto name =
      attachments_->attach(request(), [&outcome](Status status) { outcome = std::move(status); });
  ASSERT_TRUE(name.has_value());
  turn_until([this] {
    const Attachment* attachment = attachments_->find_controller("nvublk0");
    return attachment->controller_status().step_since_ms > 20;
  });
  const Json report = status_report({}, *attachments_, std::nullopt, Clock::now());
  EXPECT_EQ(report["controllers"][0]["state"], "connecting");
  EXPECT_NE(report["controllers"][0]["step"], "");
  EXPECT_TRUE(report["controllers"][0]["step_deadline_ms"].is_number());
  attachments_->cancel("nvublk0", "the client went away");
  turn_until([&] { return outcome.has_value(); });
  EXPECT_EQ(outcome->error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(list_report(*attachments_)["devices"].empty());
  target_->clear_faults();
  EXPECT_TRUE(attach(request()).has_value()) << "and the next one is not in its way";
}

TEST_F(AttachmentsTest, AnAttachThatIsGivenUpWhileDevicesStartLeavesNothing) {
  frontends_->hangs = {"nvublk0n2"};
  std::optional<Status> outcome;
  ASSERT_TRUE(
      attachments_->attach(request(), [&outcome](Status status) { outcome = std::move(status); })
          .has_value());
  turn_until([this] { return frontends_->waits(); });
  attachments_->cancel("nvublk0", "the client went away");
  frontends_->release();
  turn_until([&] { return outcome.has_value(); });
  EXPECT_EQ(outcome->error().code, ErrorCode::kCancelled);
  expect_nothing_left();
}

TEST_F(AttachmentsTest, WhoWaitsIsAnsweredWhenAnAttachCannotBeUndone) {
  frontends_->hangs = {"nvublk0n2"};
  frontends_->stays = {"nvublk0n1"};
  std::optional<Status> attached;
  ASSERT_TRUE(attachments_->attach(request(),
                                   [&attached](Status status) { attached = std::move(status); }));
  turn_until([this] { return frontends_->waits(); });
  std::optional<Attachments::Detached> detached;
  attachments_->detach("nvublk0", false,
                       [&](Attachments::Detached result) { detached = std::move(result); });
  frontends_->release();
  turn_until([&] { return attached.has_value() && detached.has_value(); });
  ASSERT_FALSE(*attached || detached->status);
  EXPECT_EQ(attached->error().code, ErrorCode::kCancelled);
  EXPECT_NE(attached->error().text.find("n1 does not want to go"), std::string::npos)
      << attached->error().text;
  EXPECT_EQ(detached->status.error().text, "nvublk0n1 does not want to go");
  EXPECT_EQ(list_report(*attachments_)["devices"][0]["device"], "/dev/fake-nvublk0n1")
      << "it is not hidden";
  frontends_->stays.clear();
  EXPECT_TRUE(detach("nvublk0").status);
  expect_nothing_left();
}

TEST_F(AttachmentsTest, LosingTheConnectionWhileDevicesStartFailsTheAttach) {
  frontends_->hangs = {"nvublk0n1"};
  std::optional<Status> outcome;
  ASSERT_TRUE(
      attachments_->attach(request(), [&outcome](Status status) { outcome = std::move(status); })
          .has_value());
  turn_until([this] { return frontends_->waits(); });
  target_->stop();
  turn_until([this] {
    return attachments_->find_controller("nvublk0")->controller_state() !=
           nvme::ControllerState::kLive;
  });
  frontends_->release();
  turn_until([&] { return outcome.has_value(); });
  ASSERT_FALSE(outcome->has_value());
  EXPECT_EQ(outcome->error().code, ErrorCode::kDisconnected);
  turn_until([this] { return attachments_->empty(); });
  EXPECT_TRUE(frontends_->shown.empty());
}

TEST_F(AttachmentsTest, DetachesByPathNameControllerAndNqn) {
  ASSERT_TRUE(attach(request()).has_value());
  EXPECT_EQ(detach("/dev/fake-nvublk0n1").devices, std::vector<std::string>{"/dev/fake-nvublk0n1"});
  EXPECT_EQ(list_report(*attachments_)["devices"].size(), 2U);
  EXPECT_EQ(detach("nvublk0n2").devices.size(), 1U);
  EXPECT_EQ(detach("nvublk0n3").devices.size(), 1U);
  expect_nothing_left();
  ASSERT_TRUE(attach(request()).has_value());
  EXPECT_EQ(detach("nvublk0").devices.size(), 3U);
  expect_nothing_left();
  ASSERT_TRUE(attach(request()).has_value());
  EXPECT_EQ(detach(target_->options().subnqn).devices.size(), 3U);
  expect_nothing_left();
  EXPECT_EQ(detach("nvublk0").status.error().code, ErrorCode::kNotFound);
}

TEST_F(AttachmentsTest, DetachesNothingWhenOneDeviceIsInUse) {
  ASSERT_TRUE(attach(request()).has_value());
  frontends_->held = {"/dev/fake-nvublk0n3"};
  const auto refused = detach("nvublk0");
  ASSERT_FALSE(refused.status.has_value());
  EXPECT_EQ(refused.status.error().code, ErrorCode::kBusy);
  EXPECT_EQ(frontends_->shown.size(), 3U);
  EXPECT_FALSE(detach("nvublk0n3").status.has_value());
  EXPECT_TRUE(detach("nvublk0", true).status.has_value());
  EXPECT_EQ(frontends_->forced, 1U);
  expect_nothing_left();
}

TEST_F(AttachmentsTest, DetachAllLeavesOnlyWhatIsInUse) {
  ASSERT_TRUE(attach(request()).has_value());
  frontends_->held = {"/dev/fake-nvublk0n2"};
  const auto result = detach_everything(false);
  EXPECT_FALSE(result.status.has_value());
  EXPECT_EQ(result.devices.size(), 2U);
  EXPECT_EQ(frontends_->shown, std::set<std::string>{"nvublk0n2"});
}

TEST_F(AttachmentsTest, ADetachWithForceTakesOverOneThatHangs) {
  ASSERT_TRUE(attach(request()).has_value());
  frontends_->stop_hangs = {"nvublk0n1"};
  std::optional<Attachments::Detached> first;
  attachments_->detach("nvublk0n1", false,
                       [&](Attachments::Detached result) { first = std::move(result); });
  turn_until([this] { return frontends_->waits(); });
  EXPECT_EQ(detach("nvublk0n2").status.error().code, ErrorCode::kBusy);
  std::optional<Attachments::Detached> second;
  attachments_->detach_all(true, [&](Attachments::Detached result) { second = std::move(result); });
  // Nothing stays, so nothing is waited for but the devices: no longer than the patience lasts.
  turn_until([this] {
    return attachments_->find_controller("nvublk0")->controller_state() ==
           nvme::ControllerState::kFailed;
  });
  EXPECT_FALSE(first.has_value() || second.has_value());
  frontends_->stop_hangs.clear();
  frontends_->release();
  turn_until([&] { return first.has_value() && second.has_value(); });
  EXPECT_TRUE(first->status.has_value());
  EXPECT_TRUE(second->status.has_value()) << second->status.error().text;
  expect_nothing_left();
}

TEST_F(AttachmentsTest, DetachGivesUpAnAttachThatHangs) {
  target_->inject({.kind = target::FaultKind::kBlackHole});
  std::optional<Status> outcome;
  ASSERT_TRUE(
      attachments_->attach(request(), [&outcome](Status status) { outcome = std::move(status); })
          .has_value());
  EXPECT_TRUE(detach("nvublk0").status.has_value());
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->error().code, ErrorCode::kCancelled);
}

TEST_F(AttachmentsTest, DetachWorksWhileTheTargetIsGone) {
  ASSERT_TRUE(attach(request()).has_value());
  target_->stop();
  turn_until([this] {
    return attachments_->find_controller("nvublk0")->controller_state() ==
           nvme::ControllerState::kReconnecting;
  });
  EXPECT_EQ(list_report(*attachments_)["devices"][0]["state"], "reconnecting");
  EXPECT_TRUE(detach("nvublk0").status.has_value());
  turn_until([this] { return attachments_->empty(); });
}

}  // namespace
}  // namespace nvublk::service
