// Devices that a daemon has left are resumed by the next one, or fail and say why.

#include "service/attachments_fixture.h"

namespace nvublk::service {
namespace {

constexpr char kOtherUuid[] = "7a1b2c3d-0000-4000-8000-000000000009";

class ResumeTest : public AttachmentsTest {
 protected:
  /// What a daemon has saved when it died with this attachment.
  SavedAttachment left_behind(AttachRequest wanted) {
    frontends_->survive = true;
    EXPECT_TRUE(attach(std::move(wanted)));
    const std::vector<SavedAttachment> all = attachments_->saved();
    EXPECT_EQ(all.size(), 1U);
    detach_everything();
    expect_nothing_left();
    frontends_->made.clear();
    return all.empty() ? SavedAttachment{} : all.front();
  }
  AttachRequest patient() {
    AttachRequest wanted = request();
    wanted.controller.reconnect_delay = seconds(1);
    return wanted;
  }
  Json listed(const std::string& name) const {
    const Json report = list_report(*attachments_);
    for (const Json& device : report["devices"]) {
      if (device["name"] == name) return device;
    }
    return Json::object();
  }
  std::string state_of(const std::string& name) const {
    return listed(name).value("state", std::string());
  }
  void turn_until_state(const std::string& name, const std::string& state) {
    turn_until([&] { return state_of(name) == state; });
  }
};

TEST_F(ResumeTest, ResumesTheSameDevicesUnderTheirNumbersAndKeys) {
  AttachRequest wanted = patient();
  wanted.nsids = {1, 3};
  const SavedAttachment saved = left_behind(wanted);
  ASSERT_EQ(saved.devices.size(), 2U);
  EXPECT_EQ(saved.request.hostnqn, kHost);
  EXPECT_FALSE(saved.request.hostid.empty());
  ASSERT_TRUE(attachments_->resume(saved, true).has_value());
  EXPECT_EQ(state_of("nvublk0n1"), "recovering");
  EXPECT_EQ(attachments_->saved().front().devices.size(), 2U);
  turn_until_state("nvublk0n3", "live");
  EXPECT_EQ(state_of("nvublk0n1"), "live");
  EXPECT_EQ(listed("nvublk0n1")["reason"], "");
  ASSERT_EQ(frontends_->made.size(), 2U);
  for (std::size_t i = 0; i < 2; i++) {
    EXPECT_EQ(frontends_->made[i].id, saved.devices[i].id);
    EXPECT_EQ(frontends_->made[i].resume_key, saved.devices[i].key);
  }
  EXPECT_FALSE(frontends_->failing.contains("nvublk0n1"));
}

TEST_F(ResumeTest, WaitsUntilOldCommandsHaveEndedUnlessThereAreNone) {
  const SavedAttachment saved = left_behind(patient());
  const Instant began = Clock::now();
  ASSERT_TRUE(attachments_->resume(saved, false).has_value());
  turn_until_state("nvublk0n1", "live");
  EXPECT_GE(Clock::now() - began, seconds(1));
}

TEST_F(ResumeTest, ATargetThatIsAwayIsWaitedForAndTheStateIsKept) {
  const SavedAttachment saved = left_behind(patient());
  const AttachRequest same = request();
  const target::Options options = target_->options();
  const std::uint16_t port = target_->port();
  target_.reset();
  ASSERT_TRUE(attachments_->resume(saved, true).has_value());
  turn_until([this] {
    const auto reason = listed("nvublk0n1").value("reason", std::string());
    return reason.find("cannot be reached") != std::string::npos;
  });
  EXPECT_EQ(state_of("nvublk0n1"), "recovering");
  EXPECT_EQ(attachments_->saved().front().devices[0].key, saved.devices[0].key);
  EXPECT_EQ(attach(same).error().code, ErrorCode::kAlreadyExists);
  target::Options again = options;
  again.listen = {{"127.0.0.1", port}};
  target_ = std::make_unique<target::Target>(again);
  ASSERT_TRUE(target_->start().has_value());
  turn_until_state("nvublk0n1", "live");
}

TEST_F(ResumeTest, GivesUpAfterCtrlLossTmoAndLetsIoFail) {
  AttachRequest wanted = patient();
  wanted.controller.ctrl_loss_timeout = seconds(2);
  const SavedAttachment saved = left_behind(wanted);
  target_->stop();
  const Instant began = Clock::now();
  ASSERT_TRUE(attachments_->resume(saved, true).has_value());
  turn_until_state("nvublk0n3", "failed");
  EXPECT_GE(Clock::now() - began, seconds(2));
  EXPECT_TRUE(frontends_->failing.contains("nvublk0n1"));
  EXPECT_NE(listed("nvublk0n1")["reason"].get<std::string>().find("ctrl-loss-tmo"),
            std::string::npos);
  EXPECT_TRUE(detach("nvublk0").status.has_value());
}

// Also when it is set meanwhile: the user who waits decides otherwise.
TEST_F(ResumeTest, AfterFastIoFailTmoIoFailsUntilTheTargetIsBack) {
  const SavedAttachment saved = left_behind(patient());
  const target::Options options = target_->options();
  const std::uint16_t port = target_->port();
  target_.reset();
  ASSERT_TRUE(attachments_->resume(saved, true).has_value());
  turn_until([this] {
    return listed("nvublk0n1")["reason"].get<std::string>().find("cannot be reached") !=
           std::string::npos;
  });
  EXPECT_TRUE(frontends_->shown.empty());
  std::optional<Result<Json>> changed;
  attachments_->set_policy("nvublk0", {{"fast_io_fail_tmo", 0}},
                           [&changed](Result<Json> report) { changed = std::move(report); });
  turn_until([this] { return frontends_->shown.size() == 3; });
  ASSERT_TRUE(changed && changed->has_value());
  EXPECT_EQ(frontends_->failing.size(), 3U);
  EXPECT_EQ(state_of("nvublk0n3"), "recovering");
  // A daemon after this one would begin where this one did.
  EXPECT_EQ(attachments_->saved().front().devices[2].key, saved.devices[2].key);
  EXPECT_FALSE(attachments_->saved().front().devices[2].failed);
  EXPECT_TRUE(detach("nvublk0n3").status.has_value());
  EXPECT_EQ(frontends_->shown.size(), 2U);
  EXPECT_TRUE(frontends_->discarded.empty()) << "it is stopped like any that is served";
  target::Options again = options;
  again.listen = {{"127.0.0.1", port}};
  again.namespaces.resize(1);
  target_ = std::make_unique<target::Target>(again);
  ASSERT_TRUE(target_->start().has_value());
  turn_until_state("nvublk0n1", "live");
  EXPECT_EQ(listed("nvublk0n1")["reason"], "");
  EXPECT_EQ(state_of("nvublk0n2"), "failed");
  EXPECT_NE(listed("nvublk0n2")["reason"].get<std::string>().find("gone"), std::string::npos);
  EXPECT_EQ(frontends_->made.size(), 3U) << "none was made twice";
}

TEST_F(ResumeTest, ADeviceThatWouldNotBeFlushedStaysWithErrors) {
  SavedAttachment saved = left_behind(patient());
  for (SavedDevice& device : saved.devices) {
    EXPECT_TRUE(device.volatile_cache);
    device.volatile_cache = false;
  }
  saved.request.controller.fast_io_fail_timeout = seconds(0);
  saved.devices.resize(1);
  const target::Options options = target_->options();
  const std::uint16_t port = target_->port();
  target_.reset();
  ASSERT_TRUE(attachments_->resume(saved, true).has_value());
  turn_until([this] { return !frontends_->shown.empty(); });
  target::Options again = options;
  again.listen = {{"127.0.0.1", port}};
  target_ = std::make_unique<target::Target>(again);
  ASSERT_TRUE(target_->start().has_value());
  turn_until_state("nvublk0n1", "failed");
  EXPECT_NE(listed("nvublk0n1")["reason"].get<std::string>().find("volatile write cache"),
            std::string::npos);
}

TEST_F(ResumeTest, ANamespaceThatIsAnotherOneFailsAndTheOthersGoOn) {
  const SavedAttachment saved = left_behind(patient());
  ASSERT_TRUE(target_->remove_namespace(2));
  ASSERT_TRUE(target_->add_namespace({.nsid = 2, .size_bytes = 1 << 20, .uuid = kOtherUuid}));
  ASSERT_TRUE(target_->remove_namespace(3));
  ASSERT_TRUE(attachments_->resume(saved, true).has_value());
  turn_until_state("nvublk0n3", "failed");
  EXPECT_EQ(state_of("nvublk0n1"), "live");
  EXPECT_EQ(state_of("nvublk0n2"), "failed");
  EXPECT_NE(listed("nvublk0n2")["reason"].get<std::string>().find("another identity"),
            std::string::npos);
  EXPECT_NE(listed("nvublk0n3")["reason"].get<std::string>().find("gone"), std::string::npos);
  EXPECT_EQ(frontends_->failing, (std::set<std::string>{"nvublk0n2", "nvublk0n3"}));
  // A daemon after this one does not give them their namespaces back either.
  EXPECT_TRUE(attachments_->saved().front().devices[1].failed);
}

TEST_F(ResumeTest, ADeviceThatDoesNotResumeIsTriedAgainAndNothingElseSuffers) {
  const SavedAttachment saved = left_behind(patient());
  frontends_->fails_to_start = {"nvublk0n2"};
  ASSERT_TRUE(attachments_->resume(saved, true).has_value());
  turn_until_state("nvublk0n3", "live");
  turn_until([this] {
    return listed("nvublk0n2")["reason"].get<std::string>().find("does not want") !=
           std::string::npos;
  });
  EXPECT_EQ(state_of("nvublk0n2"), "recovering");
  frontends_->fails_to_start.clear();
  turn_until_state("nvublk0n2", "live");
}

TEST_F(ResumeTest, WhatWaitsCanBeDetached) {
  const SavedAttachment saved = left_behind(patient());
  target_->stop();
  frontends_->held = {saved.devices[0].path()};
  ASSERT_TRUE(attachments_->resume(saved, true).has_value());
  EXPECT_EQ(detach("nvublk0n1").status.error().code, ErrorCode::kBusy);
  EXPECT_EQ(state_of("nvublk0n1"), "recovering");
  EXPECT_TRUE(detach("nvublk0n2").status.has_value());
  EXPECT_EQ(frontends_->discarded, std::set<int>{saved.devices[1].id});
  EXPECT_EQ(state_of("nvublk0n1"), "recovering");
  EXPECT_EQ(attachments_->saved().front().devices.size(), 2U);
  EXPECT_TRUE(detach("nvublk0", true).status.has_value());
  EXPECT_EQ(frontends_->discarded.size(), 3U);
  turn_until([this] { return attachments_->empty(); });
}

TEST_F(ResumeTest, LeavingIsQuietOnceNothingIsWithTheController) {
  frontends_->survive = true;
  ASSERT_TRUE(attach(request()));
  EXPECT_TRUE(attachments_->list().front()->outlives_daemon());
  std::optional<bool> quiet;
  attachments_->leave_all([&](bool left_quiet) { quiet = left_quiet; });
  turn_until([&] { return quiet.has_value(); });
  EXPECT_TRUE(*quiet);
  EXPECT_EQ(frontends_->left.size(), 3U);
  turn_until([this] { return target_->controllers().empty(); });
  EXPECT_EQ(attachments_->saved().front().devices.size(), 3U);
  left_ = true;
}

}  // namespace
}  // namespace nvublk::service
