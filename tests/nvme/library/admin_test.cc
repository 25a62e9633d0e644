#include <cerrno>
#include <cstring>
#include <deque>

#include "nvme/library/library_fixture.h"

namespace nvublk::nvme {
namespace {

using spec::AdminOpcode;
using spec::GenericStatus;

struct AdminOutcome {
  bool done = false;
  spec::NvmeStatus status;
  spec::CompletionEntry entry;
};

class AdminTest : public LibraryTest {
 protected:
  AdminCommand get_feature(AdminOutcome& outcome) {
    AdminCommand admin;
    admin.sqe = command::get_features(spec::FeatureId::kTemperatureThreshold);
    admin.tag = &outcome;
    admin.done = [&outcome](spec::NvmeStatus status, const spec::CompletionEntry& entry) {
      outcome = {true, status, entry};
    };
    return admin;
  }
  bool process_until(const AdminOutcome& outcome) {
    return poll_until([&] {
      controller_->process_admin_completions();
      return outcome.done;
    });
  }
  std::size_t seen(AdminOpcode opcode) const {
    std::size_t count = 0;
    for (const auto& sqe : simulation_.admin_seen) count += sqe.admin_opcode() == opcode ? 1 : 0;
    return count;
  }
};

TEST_F(AdminTest, NoPollingAdminCommandsRemainOutstanding) {
  attach();
  AdminOutcome outcome;
  ASSERT_EQ(controller_->admin().submit(get_feature(outcome)), 0);
  EXPECT_EQ(controller_->admin().outstanding(), 1u);
  EXPECT_FALSE(outcome.done);
  ASSERT_TRUE(process_until(outcome));
  EXPECT_TRUE(outcome.status.ok());
}

TEST_F(AdminTest, TheAdminQueueIsNotOnlyUsedAtStartup) {
  simulation_.controller.keep_alive_ms = 20;
  attach();
  const int asked = simulation_.asked;
  EXPECT_TRUE(poll_until([&] {
    controller_->process_admin_completions();
    return simulation_.asked >= asked + 3;
  })) << "keep alives at half of what the controller grants";
}

TEST_F(AdminTest, MoreCommandsThanTheQueueHoldsWaitInOrder) {
  attach();
  simulation_.hold_admin = true;
  simulation_.admin_seen.clear();
  std::deque<AdminOutcome> outcomes;
  for (std::uint32_t i = 0; i < 50; i++) {
    AdminCommand admin = get_feature(outcomes.emplace_back());
    admin.sqe.cdw11 = i;
    ASSERT_EQ(controller_->admin().submit(std::move(admin)), 0);
  }
  poll(3);
  EXPECT_LT(simulation_.admin_seen.size(), 31u);
  simulation_.hold_admin = false;
  ASSERT_TRUE(process_until(outcomes.back()));
  ASSERT_EQ(simulation_.admin_seen.size(), 50u);
  for (std::uint32_t i = 0; i < 50; i++) EXPECT_EQ(simulation_.admin_seen[i].cdw11.get(), i);
}

TEST_F(AdminTest, PassthroughReturnsDataAndResult) {
  attach();
  simulation_.script = [](const Request& request, spec::CompletionEntry& entry) {
    if (request.sqe.opcode != 0xc1) return false;
    std::memset(request.iov->iov_base, 0x5a, request.length_bytes);
    entry.set_result(0x1122334455667788);
    return true;
  };
  std::vector<std::byte> data(512);
  AdminOutcome outcome;
  AdminCommand admin = get_feature(outcome);
  admin.sqe = {};
  admin.sqe.opcode = 0xc1;
  admin.data = data;
  ASSERT_EQ(controller_->admin().submit(std::move(admin)), 0);
  ASSERT_TRUE(process_until(outcome));
  EXPECT_EQ(outcome.entry.result(), 0x1122334455667788u);
  EXPECT_EQ(data[511], std::byte{0x5a});
}

TEST_F(AdminTest, AbortByCallbackArgumentEndsWaitingOnesAndAsksForTheOthers) {
  attach();
  simulation_.hold_admin = true;
  std::deque<AdminOutcome> outcomes;
  for (int i = 0; i < 40; i++) {
    ASSERT_EQ(controller_->admin().submit(get_feature(outcomes.emplace_back())), 0);
  }
  poll(3);
  EXPECT_EQ(controller_->abort_tagged(&outcomes.back()), 0);
  ASSERT_TRUE(process_until(outcomes.back()));
  EXPECT_TRUE(outcomes.back().status.is(GenericStatus::kAbortRequested));
  EXPECT_EQ(seen(AdminOpcode::kAbort), 0u) << "it never got to the device";
  EXPECT_EQ(controller_->abort_tagged(&outcomes.front()), 0);
  poll(3);
  EXPECT_EQ(seen(AdminOpcode::kAbort), 1u);
  simulation_.hold_admin = false;
  ASSERT_TRUE(process_until(outcomes.front()));
  EXPECT_EQ(controller_->abort_tagged(&outcomes.front()), -ENOENT);
}

TEST_F(AdminTest, AbortKeepsToTheLimit) {
  simulation_.controller.abort_limit = 1;  // 0's based
  attach();
  std::vector<std::uint16_t> aborted;
  std::vector<std::uint16_t> held;
  simulation_.script = [&](const Request& request, spec::CompletionEntry&) {
    if (request.sqe.admin_opcode() == AdminOpcode::kAbort) held.push_back(request.cid);
    return false;
  };
  int outstanding = 0;
  for (std::uint16_t i = 0; i < 5; i++) {
    ASSERT_EQ(controller_->admin().abort(
                  1, i, [&](spec::NvmeStatus, const spec::CompletionEntry&) { outstanding++; }),
              0);
  }
  EXPECT_EQ(controller_->admin().outstanding(), 2u);
  ASSERT_TRUE(poll_until([&] {
    controller_->process_admin_completions();
    return outstanding == 5;
  }));
  EXPECT_EQ(held.size(), 5u);
}

TEST_F(AdminTest, AbortOfIoByCommandAndByCallbackArgument) {
  attach();
  auto queue = allocate();
  simulation_.hold_io = true;
  std::array<Outcome, 6> outcomes;
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  poll(2);
  EXPECT_EQ(controller_->abort_tagged(*queue, &outcomes[5]), 0);
  EXPECT_EQ(queue->process_completions(), 1);
  EXPECT_TRUE(outcomes[5].status.is(GenericStatus::kAbortRequested)) << "it was waiting";
  simulation_.admin_seen.clear();
  EXPECT_EQ(controller_->abort_tagged(*queue, &outcomes[0]), 0);
  poll(2);
  ASSERT_EQ(simulation_.admin_seen.size(), 1u);
  EXPECT_EQ(simulation_.admin_seen[0].cdw10.get() & 0xffff, queue->qid());
  int nothing = 0;
  EXPECT_EQ(controller_->abort_tagged(*queue, &nothing), -ENOENT);
  simulation_.hold_io = false;
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return outcomes[4].done;
  }));
}

TEST_F(AdminTest, ErrorInjectionOnTheAdminQueue) {
  attach();
  InjectedError error;
  error.opcode = static_cast<std::uint8_t>(AdminOpcode::kGetFeatures);
  error.do_not_submit = true;
  error.delay = milliseconds(5);
  error.status = spec::NvmeStatus::make(GenericStatus::kInvalidField, true);
  controller_->admin().inject_error(error);
  simulation_.admin_seen.clear();
  AdminOutcome outcome;
  ASSERT_EQ(controller_->admin().submit(get_feature(outcome)), 0);
  ASSERT_TRUE(process_until(outcome));
  EXPECT_TRUE(outcome.status.is(GenericStatus::kInvalidField));
  EXPECT_EQ(simulation_.admin_seen.size(), 0u);
  AdminOutcome second;
  ASSERT_EQ(controller_->admin().submit(get_feature(second)), 0);
  ASSERT_TRUE(process_until(second));
  EXPECT_TRUE(second.status.ok());
}

TEST_F(AdminTest, AnAdminTimeoutCallsBackAndTheCommandGoesOn) {
  attach();
  std::vector<std::uint16_t> late;
  controller_->admin().set_timeout(milliseconds(5),
                                   [&late](std::uint16_t cid) { late.push_back(cid); });
  simulation_.hold_admin = true;
  AdminOutcome outcome;
  ASSERT_EQ(controller_->admin().submit(get_feature(outcome)), 0);
  ASSERT_TRUE(poll_until([&late] { return !late.empty(); }));
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(controller_->state(), ControllerState::kLive);
  simulation_.hold_admin = false;
  ASSERT_TRUE(process_until(outcome));
  EXPECT_EQ(late.size(), 1u);
}

TEST_F(AdminTest, CommandsEndWithTheirQueue) {
  attach();
  simulation_.hold_admin = true;
  std::deque<AdminOutcome> outcomes;
  for (int i = 0; i < 40; i++) {
    ASSERT_EQ(controller_->admin().submit(get_feature(outcomes.emplace_back())), 0);
  }
  poll(2);
  controller_->mark_failed(Error::make(ErrorCode::kCancelled, "enough"));
  ASSERT_TRUE(process_until(outcomes.back()));
  ASSERT_TRUE(process_until(outcomes.front()));
  for (const AdminOutcome& outcome : outcomes) {
    EXPECT_TRUE(outcome.status.is(GenericStatus::kAbortedSqDeletion));
  }
  AdminOutcome late;
  EXPECT_EQ(controller_->admin().submit(get_feature(late)), -ENXIO);
  EXPECT_EQ(controller_->process_admin_completions(), -ENXIO);
  simulation_.hold_admin = false;
}

TEST_F(AdminTest, NamespaceAttributeEventReadsTheListAndUpdatesWhatItNames) {
  attach();
  simulation_.script = [](const Request& request, spec::CompletionEntry&) {
    if (request.sqe.admin_opcode() != AdminOpcode::kGetLogPage) return false;
    auto* log = static_cast<spec::ChangedNamespaceListLog*>(request.iov->iov_base);
    log->nsid[0] = 3;
    log->nsid[1] = 9;
    return true;
  };
  simulation_.controller.nsids = {1, 9};
  simulation_.controller.sizes = {{1, 2000}};
  spec::AsyncEvent event;
  event.type = spec::AsyncEventType::kNotice;
  event.log_page = static_cast<std::uint8_t>(spec::LogPage::kChangedNamespaceList);
  simulation_.events.push_back(event.encode());
  simulation_.kick();
  ASSERT_TRUE(poll_until([&] { return !changed_.empty(); }));
  EXPECT_EQ(changed_, (std::vector<std::uint32_t>{3, 9}));
  Namespace* grown = controller_->find_namespace(1);
  Namespace* gone = controller_->find_namespace(3);
  ASSERT_TRUE(poll_until([&] { return updated_.any(); }));
  EXPECT_TRUE(updated_.resized.empty()) << "1 was not in the list";
  EXPECT_EQ(updated_.added, std::vector<std::uint32_t>{9});
  EXPECT_EQ(updated_.removed, std::vector<std::uint32_t>{3});
  updated_ = {};
  std::optional<Status> result;
  simulation_.script = nullptr;
  controller_->rescan([&result](Status status) { result = std::move(status); });
  ASSERT_TRUE(poll_until([&result] { return result.has_value(); }));
  ASSERT_TRUE(*result) << result->error().text;
  EXPECT_EQ(updated_.resized, std::vector<std::uint32_t>{1});
  EXPECT_EQ(grown->geometry().size_blocks, 2000u);
  EXPECT_FALSE(gone->active()) << "the object stays until the controller ends";
  EXPECT_EQ(controller_->state(), ControllerState::kLive);
}

TEST_F(AdminTest, OtherEventsAreReportedAfterTheirLogPageWasRead) {
  attach();
  simulation_.admin_seen.clear();
  spec::AsyncEvent smart;
  smart.type = spec::AsyncEventType::kSmartHealth;
  smart.information = static_cast<std::uint8_t>(spec::AsyncHealth::kTemperatureThreshold);
  smart.log_page = static_cast<std::uint8_t>(spec::LogPage::kSmartHealth);
  spec::AsyncEvent firmware;
  firmware.type = spec::AsyncEventType::kNotice;
  firmware.information = static_cast<std::uint8_t>(spec::AsyncNotice::kFirmwareActivationStarting);
  firmware.log_page = static_cast<std::uint8_t>(spec::LogPage::kFirmwareSlot);
  simulation_.events = {smart.encode(), firmware.encode()};
  simulation_.kick();
  ASSERT_TRUE(poll_until([&] { return events_.size() == 2; }));
  EXPECT_EQ(events_[0], smart);
  EXPECT_EQ(events_[1], firmware);
  EXPECT_EQ(seen(AdminOpcode::kGetLogPage), 2u);
}

}  // namespace
}  // namespace nvublk::nvme
