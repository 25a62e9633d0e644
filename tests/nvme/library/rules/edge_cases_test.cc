// Edge cases and failure modes, one test for each.

#include "nvme/library/rules/rules_fixture.h"

namespace nvublk::nvme {
namespace {

using EdgeCases = RulesTest;

TEST_F(EdgeCases, TheProbeCallbackRejectsAController) {
  callbacks_.probe = [](const TransportId&, ControllerOptions&) { return false; };
  EXPECT_TRUE(initiator_->probe(id(), callbacks_));
  EXPECT_TRUE(attached_.empty()) << "no attach callback for it";
  EXPECT_TRUE(failures_.empty()) << "and it is no failure";
}

TEST_F(EdgeCases, AReadyControllersNamespacesMayStillChange) {
  Controller& controller = attach();
  ASSERT_EQ(controller.find_namespace(77), nullptr);
  simulation().controller.nsids.push_back(77);
  bool done = false;
  controller.rescan([&done](Status status) { done = status.has_value(); });
  ASSERT_TRUE(poll_until([&] {
    controller.process_admin_completions();
    return done;
  }));
  EXPECT_NE(controller.find_namespace(77), nullptr);
}

TEST_F(EdgeCases, ConnectWithABadTransportIdAttachesNothing) {
  TransportId bad = id();
  bad.trsvcid = "no port";
  EXPECT_FALSE(initiator_->connect(bad));
  EXPECT_TRUE(transports_.empty());
  EXPECT_TRUE(initiator_->attached().empty());
}

TEST_F(EdgeCases, AControllerThatIsAttachedAlreadyIsShared) {
  const Result<Controller*> first = initiator_->connect(id());
  TransportId same = id();
  same.traddr = "192.0.2.1";
  const Result<Controller*> second = initiator_->connect(same);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(transports_.size(), 1u);
  EXPECT_EQ(initiator_->references(**first), 2u);
}

TEST_F(EdgeCases, AllocationFailsWhileTheControllerIsNotReady) {
  Controller& controller = attach();
  bool done = false;
  controller.reset([&done](Status) { done = true; });
  const auto queue = controller.allocate_io_queue_pair();
  ASSERT_FALSE(queue);
  EXPECT_NE(queue.error().text.find("reset"), std::string::npos) << queue.error().text;
  ASSERT_TRUE(poll_until([&] {
    controller.process_admin_completions();
    return done;
  }));
  EXPECT_TRUE(controller.allocate_io_queue_pair());
}

TEST_F(EdgeCases, APollGroupRejectsTheOtherInterruptMode) {
  Controller& controller = attach();
  auto with = unconnected(controller, true);
  auto without = unconnected(controller, false);
  PollGroup polled;
  PollGroup sleeping({.interrupts = true});
  EXPECT_EQ(polled.add(*with), -EINVAL);
  EXPECT_EQ(sleeping.add(*without), -EINVAL);
}

TEST_F(EdgeCases, AFailedOrRemovedQueuePairAnswersENXIO) {
  Controller& controller = attach();
  auto queue = allocate(controller);
  controller.mark_failed(Error::make(ErrorCode::kDisconnected, "gone"));
  EXPECT_EQ(queue->process_completions(), -ENXIO);
  Outcome outcome;
  EXPECT_EQ(read(*queue, outcome), -ENXIO);
  ASSERT_TRUE(initiator_->detach(controller));
  EXPECT_EQ(queue->process_completions(), -ENXIO) << "also when the controller is no more";
  EXPECT_EQ(queue->reconnect(), -ENODEV);
}

TEST_F(EdgeCases, AStuckAdminQueueStopsInitializationAtItsStepUntilTheDeadline) {
  simulation().hold_admin = true;
  options_.admin_timeout = milliseconds(50);
  auto context = connect_async(id());
  for (int i = 0; i < 20; i++) ASSERT_EQ(context->poll(), -EAGAIN);
  EXPECT_TRUE(attached_.empty() && failures_.empty());
  finish(*context);
  ASSERT_EQ(failures_.size(), 1u);
  EXPECT_EQ(failures_[0].code, ErrorCode::kTimeout) << failures_[0].text;
  EXPECT_NE(failures_[0].step, "");
  simulation().hold_admin = false;
}

TEST_F(EdgeCases, AStuckAdminQueueStopsAResetAtItsStepUntilTheDeadline) {
  options_.admin_timeout = milliseconds(50);
  Controller& controller = attach();
  simulation().hold_admin = true;
  std::optional<Status> result;
  controller.reset([&result](Status status) { result = std::move(status); });
  for (int i = 0; i < 20; i++) controller.process_admin_completions();
  EXPECT_FALSE(result) << "it does not progress";
  EXPECT_EQ(controller.state(), ControllerState::kResetting);
  ASSERT_TRUE(poll_until([&result] { return result.has_value(); }));
  ASSERT_FALSE(*result);
  EXPECT_EQ(result->error().code, ErrorCode::kTimeout) << result->error().text;
  EXPECT_NE(result->error().step, "");
  EXPECT_EQ(controller.state(), ControllerState::kFailed);
  simulation().hold_admin = false;
  EXPECT_TRUE(initiator_->reset(controller)) << "the next one mends it";
  EXPECT_EQ(controller.state(), ControllerState::kLive);
}

TEST_F(EdgeCases, AStuckAdminQueueStopsADetachUntilTheDeadline) {
  options_.admin_timeout = milliseconds(50);
  Controller& controller = attach();
  simulation().fault = Fault::kSilence;
  simulation().strike_at = simulation().asked;  // CC, which the shutdown begins with
  DetachContext context;
  ASSERT_TRUE(initiator_->detach_async(controller, context));
  for (int i = 0; i < 20; i++) ASSERT_EQ(context.poll(), -EAGAIN) << "it does not progress";
  EXPECT_GT(simulation().queues_alive, 0);
  EXPECT_TRUE(poll_until([&context] { return context.poll() == 0; }));
  EXPECT_EQ(simulation().queues_alive, 0) << "without the answer, the connection just closes";
  EXPECT_TRUE(initiator_->attached().empty());
}

TEST_F(EdgeCases, WithoutPollingCommandsRemainOutstanding) {
  auto queue = allocate(attach());
  Outcome outcome;
  ASSERT_EQ(read(*queue, outcome), 0);
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(queue->outstanding(), 1u);
  EXPECT_EQ(simulation().io_submitted, 0) << "with delayed submission not even sent";
  idle(5);
  EXPECT_FALSE(outcome.done) << "answered, but nobody asked this queue pair";
  EXPECT_EQ(queue->process_completions(), 1);
  EXPECT_TRUE(outcome.done);
}

// There is no secondary process: ARCHITECTURE says why. What another process would be is another
// initiator here, and those have nothing in common.
TEST_F(EdgeCases, ASecondInitiatorSharesNothingWithTheFirst) {
  const Result<Controller*> first = initiator_->connect(id());
  auto other = make_initiator();
  EXPECT_EQ(other->find(id(), options_.host.nqn), nullptr);
  const Result<Controller*> second = other->connect(id());
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_TRUE(other->detach(**second));
  EXPECT_EQ((*first)->state(), ControllerState::kLive);
}

TEST_F(EdgeCases, DetachWhileOthersUseTheControllerFailsTheirQueuePairs) {
  Controller& controller = attach();
  auto queue = allocate(controller);
  simulation().hold_io = true;
  Outcome outcome;
  ASSERT_EQ(read(*queue, outcome), 0);
  idle(2);
  ASSERT_TRUE(initiator_->detach(controller));
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return outcome.done;
  }));
  EXPECT_TRUE(outcome.status.is(spec::GenericStatus::kAbortedSqDeletion));
  EXPECT_EQ(queue->process_completions(), -ENXIO);
}

}  // namespace
}  // namespace nvublk::nvme
