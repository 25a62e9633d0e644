#include <cerrno>

#include "nvme/library/library_fixture.h"

namespace nvublk::nvme {
namespace {

class ResetTest : public LibraryTest {};

TEST_F(ResetTest, ResetDisconnectsTheQueuePairsWithThatReason) {
  attach();
  auto queue = allocate();
  simulation_.hold_io = true;
  Outcome outcome;
  ASSERT_EQ(read(*queue, outcome), 0);
  poll(2);
  EXPECT_TRUE(reset());
  simulation_.hold_io = false;
  EXPECT_EQ(controller_->state(), ControllerState::kLive);
  EXPECT_EQ(queue->process_completions(), 1);
  EXPECT_TRUE(outcome.status.is(spec::GenericStatus::kAbortedSqDeletion));
  EXPECT_EQ(queue->failure(), QueueFailure::kReset);
  EXPECT_EQ(queue->reconnect(), 0);
  EXPECT_TRUE(queue->wait_connected());
}

TEST_F(ResetTest, ReconnectHasToWaitWhileTheControllerIsReset) {
  attach();
  auto queue = allocate();
  bool done = false;
  controller_->reset([&done](Status) { done = true; });
  EXPECT_EQ(controller_->state(), ControllerState::kResetting);
  EXPECT_EQ(queue->reconnect(), -EAGAIN);
  ASSERT_TRUE(poll_until([&done] { return done; }));
  EXPECT_EQ(queue->reconnect(), 0);
  EXPECT_TRUE(queue->wait_connected());
}

TEST_F(ResetTest, AResetThatFailsLeavesAFailedControllerThatCanBeResetAgain) {
  attach();
  auto queue = allocate();
  simulation_.refuse = true;
  const Status failed = reset();
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().step, "");
  EXPECT_EQ(controller_->state(), ControllerState::kFailed);
  EXPECT_EQ(queue->reconnect(), -ENXIO);
  simulation_.refuse = false;
  EXPECT_TRUE(reset());
  EXPECT_EQ(queue->reconnect(), 0);
  EXPECT_TRUE(queue->wait_connected());
}

TEST_F(ResetTest, ASecondResetIsRefusedWhileOneRuns) {
  attach();
  bool first = false;
  controller_->reset([&first](Status status) { first = status.has_value(); });
  const Status second = reset();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_TRUE(poll_until([&first] { return first; }));
}

TEST_F(ResetTest, ALostConnectionFailsTheControllerAndAResetBringsItBack) {
  simulation_.controller.keep_alive_ms = 20;
  attach();
  auto queue = allocate();
  simulation_.strike_at = simulation_.asked;
  simulation_.fault = Fault::kDisconnect;
  ASSERT_TRUE(poll_until([&] { return controller_->state() == ControllerState::kFailed; }));
  EXPECT_EQ(controller_->process_admin_completions(), -ENXIO);
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() == -ENXIO; }));
  EXPECT_EQ(queue->failure(), QueueFailure::kRemote);
  EXPECT_TRUE(reset());
  EXPECT_EQ(controller_->state(), ControllerState::kLive);
}

TEST_F(ResetTest, AFailedControllerCanBeDetached) {
  attach();
  controller_->mark_failed(Error::make(ErrorCode::kCancelled, "enough"));
  EXPECT_EQ(controller_->state(), ControllerState::kFailed);
  detach();
}

TEST_F(ResetTest, DetachDuringAResetEndsBoth) {
  attach();
  std::optional<Status> result;
  controller_->reset([&result](Status status) { result = std::move(status); });
  poll(1);
  detach();
  poll(2);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->error().code, ErrorCode::kCancelled);
}

TEST_F(ResetTest, ShutdownIsNotifiedUnlessSwitchedOff) {
  attach();
  detach();
  poll(2);
  const int with = simulation_.asked;
  simulation_ = Simulation{};
  simulation_.controller.queue_count = 4;
  options_.shutdown_notification = false;
  attach();
  detach();
  EXPECT_EQ(simulation_.asked, with - 3) << "read CC, set CC.SHN, read CSTS";
}

TEST_F(ResetTest, AResetFindsOtherNamespaces) {
  attach();
  ASSERT_NE(controller_->find_namespace(3), nullptr);
  Namespace* kept = controller_->find_namespace(1);
  simulation_.controller.nsids = {1, 7};
  EXPECT_TRUE(reset());
  EXPECT_EQ(controller_->find_namespace(1), kept);
  EXPECT_EQ(controller_->find_namespace(3), nullptr);
  EXPECT_NE(controller_->find_namespace(7), nullptr);
  EXPECT_EQ(updated_.added, std::vector<std::uint32_t>{7});
  EXPECT_EQ(updated_.removed, std::vector<std::uint32_t>{3});
}

}  // namespace
}  // namespace nvublk::nvme
