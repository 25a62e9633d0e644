#include "nvme/io_queue_pair.h"

#include <array>
#include <cerrno>
#include <deque>

#include "nvme/library/library_fixture.h"

namespace nvublk::nvme {
namespace {

using spec::GenericStatus;

class IoQueuePairTest : public LibraryTest {};

TEST_F(IoQueuePairTest, NoPollingCommandsRemainOutstanding) {
  attach();
  auto queue = allocate();
  Outcome outcome;
  ASSERT_EQ(read(*queue, outcome), 0);
  EXPECT_EQ(simulation_.io_submitted, 0) << "nothing runs by itself";
  EXPECT_FALSE(outcome.done);
  // What the device answered waits in the queue: turning the shard alone runs no callback.
  poll(3);
  EXPECT_EQ(simulation_.io_submitted, 1);
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(queue->process_completions(), 1);
  EXPECT_TRUE(outcome.done);
  EXPECT_TRUE(outcome.status.ok());
}

TEST_F(IoQueuePairTest, ProcessesAsManyAsItIsAskedFor) {
  attach();
  auto queue = allocate();
  std::array<Outcome, 4> outcomes;
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  poll(2);
  EXPECT_EQ(queue->process_completions(1), 1);
  EXPECT_EQ(queue->process_completions(2), 2);
  EXPECT_EQ(queue->process_completions(), 1);
  EXPECT_EQ(queue->process_completions(), 0);
}

TEST_F(IoQueuePairTest, OneQueuePairsPollDoesNotCompleteAnothers) {
  attach();
  auto first = allocate();
  auto second = allocate();
  EXPECT_NE(first->qid(), second->qid());
  Outcome on_first;
  Outcome on_second;
  ASSERT_EQ(read(*first, on_first), 0);
  ASSERT_EQ(read(*second, on_second), 0);
  ASSERT_TRUE(poll_until([&] { return first->process_completions() > 0; }));
  EXPECT_TRUE(on_first.done);
  EXPECT_FALSE(on_second.done);
  ASSERT_TRUE(poll_until([&] { return second->process_completions() > 0; }));
}

TEST_F(IoQueuePairTest, AllocationFailsWhileTheControllerConnects) {
  make();
  const auto made = controller_->allocate_io_queue_pair();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kBusy);
  EXPECT_NE(made.error().text.find("still connecting"), std::string::npos) << made.error().text;
}

TEST_F(IoQueuePairTest, AllocationFailsDuringReset) {
  attach();
  bool done = false;
  controller_->reset([&done](Status) { done = true; });
  const auto made = controller_->allocate_io_queue_pair();
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().text.find("being reset"), std::string::npos) << made.error().text;
  ASSERT_TRUE(poll_until([&done] { return done; }));
  EXPECT_TRUE(controller_->allocate_io_queue_pair());
}

TEST_F(IoQueuePairTest, AllocationFailsOnceTheControllerHasFailed) {
  attach();
  controller_->mark_failed(Error::make(ErrorCode::kCancelled, "the test says so"));
  const auto made = controller_->allocate_io_queue_pair();
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().text.find("the test says so"), std::string::npos) << made.error().text;
}

TEST_F(IoQueuePairTest, AllocationFailsWhenAllAreInUseAndWorksAgainAfterAFree) {
  attach();
  std::vector<IoQueuePair::Pointer> queues;
  for (int i = 0; i < 4; i++) queues.push_back(allocate());
  const auto made = controller_->allocate_io_queue_pair();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kNoResources);
  const std::uint16_t freed = queues[1]->qid();
  queues[1].reset();
  auto again = allocate();
  EXPECT_EQ(again->qid(), freed);
}

TEST_F(IoQueuePairTest, AllocationReportsWhyItCouldNotConnect) {
  attach();
  simulation_.refuse = true;
  const auto made = controller_->allocate_io_queue_pair();
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().text.find("refused"), std::string::npos) << made.error().text;
  simulation_.refuse = false;
}

TEST_F(IoQueuePairTest, RejectsOptionsThatCannotWork) {
  attach();
  IoQueuePairOptions low;
  low.priority = QueuePriority::kLow;
  EXPECT_EQ(controller_->allocate_io_queue_pair(low).error().code, ErrorCode::kUnsupported);
  IoQueuePairOptions delayed;
  delayed.interrupts = true;
  EXPECT_EQ(controller_->allocate_io_queue_pair(delayed).error().code, ErrorCode::kInvalidArgument);
  alignas(4096) static std::array<std::byte, 4096> page;
  IoQueuePairOptions lent;
  lent.memory.cq = page;
  EXPECT_EQ(controller_->allocate_io_queue_pair(lent).error().code, ErrorCode::kUnsupported)
      << "it is a fabric";
}

TEST_F(IoQueuePairTest, PrioritiesAreThereWithWeightedRoundRobin) {
  options_.arbitration.weighted = true;
  simulation_.controller.weighted = true;
  attach();
  EXPECT_TRUE(controller_->options().arbitration.weighted);
  IoQueuePairOptions low;
  low.priority = QueuePriority::kLow;
  std::optional<std::uint8_t> attributes;
  simulation_.connect_seen = [&attributes](const spec::ConnectCommand& connect) {
    if (connect.qid.get() != 0) attributes = connect.cattr;
  };
  auto queue = allocate(low);
  ASSERT_TRUE(attributes);
  EXPECT_EQ(*attributes & 3, 3);
  EXPECT_EQ(queue->options().priority, QueuePriority::kLow);
}

TEST_F(IoQueuePairTest, OptionsInForceAreReported) {
  options_.io_queue_requests = 100;
  attach();
  IoQueuePairOptions wanted;
  wanted.queue_size = 100000;
  const auto queue = allocate(wanted);
  EXPECT_EQ(queue->options().queue_size, 64u) << "MAXCMD of the controller";
  EXPECT_EQ(queue->options().requests, 100u) << "the controller's option";
}

TEST_F(IoQueuePairTest, RequestsBeyondTheDepthWaitInOrder) {
  attach();
  auto queue = allocate();
  simulation_.hold_io = true;
  std::array<Outcome, 10> outcomes;
  for (std::size_t i = 0; i < outcomes.size(); i++) {
    ASSERT_EQ(read(*queue, outcomes[i], i), 0);
  }
  poll(3);
  EXPECT_EQ(simulation_.io_submitted, 4);
  EXPECT_EQ(queue->outstanding(), 4u);
  EXPECT_EQ(queue->waiting(), 6u);
  simulation_.hold_io = false;
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return outcomes.back().done;
  }));
  for (std::size_t i = 0; i < outcomes.size(); i++) {
    EXPECT_EQ(simulation_.io_seen[i].cdw10.get(), i);
    if (i > 0) {
      EXPECT_LT(outcomes[i - 1].order, outcomes[i].order);
    }
  }
}

TEST_F(IoQueuePairTest, ANewRequestDoesNotOvertakeThoseThatWait) {
  attach();
  auto queue = allocate();
  std::array<Outcome, 6> outcomes;
  for (std::size_t i = 0; i < 5; i++) ASSERT_EQ(read(*queue, outcomes[i], i), 0);
  poll(2);  // four are answered; the fifth waits for the next time that completions are processed
  ASSERT_EQ(queue->outstanding(), 0u);
  ASSERT_EQ(queue->waiting(), 1u);
  ASSERT_EQ(read(*queue, outcomes[5], 5), 0);
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return outcomes[4].done && outcomes[5].done;
  }));
  EXPECT_LT(outcomes[4].order, outcomes[5].order);
}

TEST_F(IoQueuePairTest, SubmitSaysWhenAllRequestsAreInUse) {
  attach();
  IoQueuePairOptions few;
  few.requests = 6;
  auto queue = allocate(few);
  simulation_.hold_io = true;
  std::array<Outcome, 7> outcomes;
  for (int i = 0; i < 6; i++) ASSERT_EQ(read(*queue, outcomes[static_cast<unsigned>(i)]), 0);
  EXPECT_EQ(read(*queue, outcomes[6]), -ENOMEM);
  simulation_.hold_io = false;
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() > 0; }));
  EXPECT_EQ(read(*queue, outcomes[6]), 0);
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return outcomes[6].done;
  }));
}

TEST_F(IoQueuePairTest, CreateOnlyConnectsLaterAndOnce) {
  attach();
  IoQueuePairOptions later;
  later.create_only = true;
  auto queue = allocate(later);
  Outcome outcome;
  EXPECT_EQ(queue->state(), QueueState::kDisconnected);
  EXPECT_EQ(read(*queue, outcome), -ENXIO);
  EXPECT_EQ(queue->process_completions(), -ENXIO);
  ASSERT_EQ(queue->connect(), 0);
  EXPECT_EQ(queue->connect(), -EISCONN);
  EXPECT_TRUE(queue->wait_connected());
  EXPECT_EQ(read(*queue, outcome), 0);
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() > 0; }));
}

TEST_F(IoQueuePairTest, RequestsBeforeTheConnectionWaitForIt) {
  attach();
  IoQueuePairOptions async;
  async.async = true;
  auto queue = allocate(async);
  EXPECT_EQ(queue->state(), QueueState::kConnecting);
  std::array<Outcome, 3> outcomes;
  for (std::size_t i = 0; i < outcomes.size(); i++) ASSERT_EQ(read(*queue, outcomes[i], i), 0);
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return outcomes[2].done;
  }));
  EXPECT_LT(outcomes[0].order, outcomes[1].order);
  EXPECT_LT(outcomes[1].order, outcomes[2].order);
}

TEST_F(IoQueuePairTest, DisconnectEndsWhatIsOutstandingAndReconnectWorks) {
  attach();
  auto queue = allocate();
  simulation_.hold_io = true;
  std::array<Outcome, 6> outcomes;
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  poll(2);
  queue->set_abort_dnr(true);
  queue->disconnect();
  ASSERT_TRUE(poll_until([&] { return queue->state() == QueueState::kDisconnected; }));
  EXPECT_FALSE(outcomes[0].done) << "callbacks run when completions are processed";
  EXPECT_EQ(queue->process_completions(), 6);
  for (const Outcome& outcome : outcomes) {
    EXPECT_TRUE(outcome.status.is(GenericStatus::kAbortedSqDeletion));
    EXPECT_TRUE(outcome.status.dnr());
  }
  EXPECT_EQ(queue->process_completions(), -ENXIO);
  EXPECT_EQ(queue->failure(), QueueFailure::kLocal);
  simulation_.hold_io = false;
  EXPECT_EQ(queue->reconnect(), 0);
  ASSERT_TRUE(queue->wait_connected());
  EXPECT_EQ(queue->reconnect(), 0) << "nothing to do";
  EXPECT_EQ(queue->failure(), QueueFailure::kNone);
  Outcome again;
  ASSERT_EQ(read(*queue, again), 0);
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() > 0; }));
  EXPECT_TRUE(again.status.ok());
}

TEST_F(IoQueuePairTest, AFailedQueuePairAnswersENXIOAndSaysWhoFailed) {
  attach();
  auto queue = allocate();
  simulation_.script = [](const Request& request, spec::CompletionEntry& entry) {
    entry.cid = static_cast<std::uint16_t>(request.cid ^ 0x5555);
    return true;
  };
  Outcome outcome;
  ASSERT_EQ(read(*queue, outcome), 0);
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() == 1; }));
  EXPECT_TRUE(outcome.status.is(GenericStatus::kAbortedSqDeletion));
  EXPECT_EQ(queue->process_completions(), -ENXIO);
  EXPECT_EQ(read(*queue, outcome), -ENXIO);
  EXPECT_EQ(queue->failure(), QueueFailure::kUnknown);
  EXPECT_NE(queue->failure_text(), "");
  simulation_.script = nullptr;
}

TEST_F(IoQueuePairTest, AFailedControllersQueuePairsFail) {
  attach();
  auto queue = allocate();
  controller_->mark_failed(Error::make(ErrorCode::kDisconnected, "gone"));
  Outcome outcome;
  EXPECT_EQ(read(*queue, outcome), -ENXIO);
  EXPECT_EQ(queue->process_completions(), -ENXIO);
  EXPECT_EQ(queue->reconnect(), -ENXIO);
}

TEST_F(IoQueuePairTest, ARemovedControllersQueuePairsFail) {
  attach();
  auto queue = allocate();
  detach();
  Outcome outcome;
  EXPECT_EQ(read(*queue, outcome), -ENXIO);
  EXPECT_EQ(queue->process_completions(), -ENXIO);
  EXPECT_EQ(queue->reconnect(), -ENODEV);
}

TEST_F(IoQueuePairTest, SubmittingInsideACallback) {
  attach();
  auto queue = allocate();
  int rounds = 0;
  std::deque<Outcome> outcomes;
  std::function<void()> again = [&] {
    if (++rounds == 20) return;
    outcomes.emplace_back().then = again;
    EXPECT_EQ(read(*queue, outcomes.back()), 0);
  };
  outcomes.emplace_back().then = again;
  ASSERT_EQ(read(*queue, outcomes.back()), 0);
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return rounds == 20;
  }));
}

TEST_F(IoQueuePairTest, ACallbackThatAlwaysSubmitsDoesNotKeepThePollForever) {
  attach();
  auto queue = allocate();
  InjectedError error;
  error.opcode = static_cast<std::uint8_t>(spec::NvmOpcode::kRead);
  error.count = 1000;
  error.do_not_submit = true;
  error.status = spec::NvmeStatus::make(GenericStatus::kInternalError);
  queue->inject_error(error);
  std::deque<Outcome> outcomes;
  std::function<void()> again = [&] {
    outcomes.emplace_back().then = again;
    EXPECT_EQ(read(*queue, outcomes.back()), 0);
  };
  again();
  EXPECT_EQ(queue->process_completions(), 1);
  EXPECT_EQ(queue->process_completions(), 1);
  outcomes.back().then = nullptr;
  EXPECT_EQ(queue->process_completions(), 1);
}

TEST_F(IoQueuePairTest, CompletingInsideACallback) {
  attach();
  auto queue = allocate();
  std::array<Outcome, 4> outcomes;
  int inside = -1;
  outcomes[0].then = [&] { inside = queue->process_completions(2); };
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  poll(2);
  EXPECT_EQ(queue->process_completions(), 2);
  EXPECT_EQ(inside, 2);
  for (const Outcome& outcome : outcomes) EXPECT_TRUE(outcome.done);
}

TEST_F(IoQueuePairTest, FreeingInsideACallback) {
  attach();
  auto queue = allocate();
  std::array<Outcome, 8> outcomes;
  outcomes[1].then = [&] { queue.reset(); };
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  poll(2);
  IoQueuePair& freed = *queue;
  EXPECT_EQ(freed.process_completions(), 2);
  EXPECT_TRUE(outcomes[1].status.ok());
  for (const Outcome& outcome : outcomes) EXPECT_TRUE(outcome.done);
  EXPECT_TRUE(outcomes[7].status.is(GenericStatus::kAbortedSqDeletion)) << "it had to wait";
  EXPECT_EQ(simulation_.queues_alive, 1) << "the admin queue";
}

TEST_F(IoQueuePairTest, FreeingEndsWhatIsOutstandingFirst) {
  attach();
  auto queue = allocate();
  simulation_.hold_io = true;
  std::array<Outcome, 6> outcomes;
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  poll(2);
  queue.reset();
  for (const Outcome& outcome : outcomes) {
    EXPECT_TRUE(outcome.done);
    EXPECT_TRUE(outcome.status.is(GenericStatus::kAbortedSqDeletion));
  }
}

TEST_F(IoQueuePairTest, DisconnectingInsideACallback) {
  attach();
  auto queue = allocate();
  std::array<Outcome, 3> outcomes;
  outcomes[0].then = [&] { queue->disconnect(); };
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  poll(2);
  EXPECT_EQ(queue->process_completions(), 3) << "they had their answers already";
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() == -ENXIO; }));
}

TEST_F(IoQueuePairTest, ErrorInjectionPerOpcodeCountAndStatus) {
  attach();
  auto queue = allocate();
  InjectedError error;
  error.opcode = static_cast<std::uint8_t>(spec::NvmOpcode::kRead);
  error.count = 2;
  error.status = spec::NvmeStatus::make(GenericStatus::kLbaOutOfRange, true);
  queue->inject_error(error);
  std::array<Outcome, 3> outcomes;
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return outcomes[2].done;
  }));
  EXPECT_EQ(simulation_.io_submitted, 3) << "the device sees them";
  EXPECT_TRUE(outcomes[0].status.is(GenericStatus::kLbaOutOfRange));
  EXPECT_TRUE(outcomes[1].status.dnr());
  EXPECT_EQ(outcomes[1].entry.status(), outcomes[1].status);
  EXPECT_TRUE(outcomes[2].status.ok());
}

TEST_F(IoQueuePairTest, ErrorInjectionWithoutSubmissionAndRemoved) {
  attach();
  auto queue = allocate();
  InjectedError error;
  error.opcode = static_cast<std::uint8_t>(spec::NvmOpcode::kRead);
  error.count = 5;
  error.do_not_submit = true;
  error.status = spec::NvmeStatus::make(GenericStatus::kInternalError);
  queue->inject_error(error);
  Outcome first;
  ASSERT_EQ(read(*queue, first), 0);
  EXPECT_FALSE(first.done) << "never from within submit";
  EXPECT_EQ(queue->process_completions(), 1);
  EXPECT_TRUE(first.status.is(GenericStatus::kInternalError));
  EXPECT_EQ(simulation_.io_submitted, 0);
  queue->remove_injected_error(error.opcode);
  Outcome second;
  ASSERT_EQ(read(*queue, second), 0);
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() > 0; }));
  EXPECT_TRUE(second.status.ok());
}

TEST_F(IoQueuePairTest, ErrorInjectionDelays) {
  attach();
  auto queue = allocate();
  InjectedError error;
  error.opcode = static_cast<std::uint8_t>(spec::NvmOpcode::kRead);
  error.delay = milliseconds(20);
  queue->inject_error(error);
  Outcome late;
  Outcome prompt;
  ASSERT_EQ(read(*queue, late), 0);
  const Instant start = Clock::now();
  ASSERT_EQ(read(*queue, prompt), 0);
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return late.done;
  }));
  EXPECT_GE(Clock::now() - start, milliseconds(15));
  EXPECT_LT(prompt.order, late.order);
}

struct TimeoutLog {
  std::vector<std::uint16_t> cids;
};

TEST_F(IoQueuePairTest, ATimeoutIsReportedOnceAndTheCommandGoesOn) {
  attach();
  auto queue = allocate();
  TimeoutLog log;
  queue->set_timeout(
      milliseconds(5),
      [](void* context, IoQueuePair&, std::uint16_t cid) {
        static_cast<TimeoutLog*>(context)->cids.push_back(cid);
      },
      &log);
  simulation_.hold_io = true;
  Outcome outcome;
  ASSERT_EQ(read(*queue, outcome), 0);
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return !log.cids.empty();
  }));
  for (int i = 0; i < 20; i++) queue->process_completions();
  EXPECT_EQ(log.cids.size(), 1u);
  EXPECT_FALSE(outcome.done);
  simulation_.hold_io = false;
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() > 0; }));
  EXPECT_TRUE(outcome.status.ok());
}

TEST_F(IoQueuePairTest, WithoutDelayedSubmissionACommandLeavesAtOnce) {
  attach();
  IoQueuePairOptions prompt;
  prompt.delay_submit = false;
  auto queue = allocate(prompt);
  const std::uint64_t enters = shard_->reactor().counters().enters;
  Outcome outcome;
  ASSERT_EQ(read(*queue, outcome), 0);
  EXPECT_GE(shard_->reactor().counters().enters, enters);
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() > 0; }));
}

TEST_F(IoQueuePairTest, StatisticsCount) {
  attach();
  auto queue = allocate();
  std::array<Outcome, 6> outcomes;
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return outcomes[5].done;
  }));
  EXPECT_EQ(queue->statistics().submitted, 6u);
  EXPECT_EQ(queue->statistics().queued, 2u);
  EXPECT_EQ(queue->statistics().completions, 6u);
  EXPECT_EQ(queue->process_completions(), 0);
  EXPECT_GE(queue->statistics().idle_polls, 1u);
}

TEST_F(IoQueuePairTest, FreeingInsideACompletionInsideACallback) {
  attach();
  auto queue = allocate();
  IoQueuePair& freed = *queue;
  std::array<Outcome, 3> outcomes;
  outcomes[0].then = [&] { EXPECT_EQ(freed.process_completions(1), 1); };
  outcomes[1].then = [&] { queue.reset(); };
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(freed, outcome), 0);
  poll(2);
  EXPECT_GE(freed.process_completions(), 1);
  for (const Outcome& outcome : outcomes) EXPECT_TRUE(outcome.done);
  poll(3);
  EXPECT_EQ(simulation_.queues_alive, 1) << "the admin queue";
}

TEST_F(IoQueuePairTest, AfterAFreeInsideACallbackNothingMoreIsTaken) {
  attach();
  auto queue = allocate();
  IoQueuePair& freed = *queue;
  Outcome outcome;
  Outcome late;
  outcome.then = [&] {
    queue.reset();
    EXPECT_EQ(read(freed, late), -ENXIO);
    EXPECT_EQ(freed.connect(), -ENXIO);
  };
  ASSERT_EQ(read(freed, outcome), 0);
  poll(2);
  EXPECT_EQ(freed.process_completions(), 1);
  EXPECT_FALSE(late.done);
}

TEST_F(IoQueuePairTest, ATimeoutCallbackMayFree) {
  attach();
  auto queue = allocate();
  IoQueuePair& freed = *queue;
  freed.set_timeout(
      milliseconds(1),
      [](void* context, IoQueuePair&, std::uint16_t) {
        static_cast<IoQueuePair::Pointer*>(context)->reset();
      },
      &queue);
  simulation_.hold_io = true;
  Outcome outcome;
  ASSERT_EQ(read(freed, outcome), 0);
  ASSERT_TRUE(poll_until([&] {
    if (queue) freed.process_completions();
    return queue == nullptr;
  }));
  ASSERT_TRUE(poll_until([&] { return simulation_.queues_alive == 1; }));
  EXPECT_TRUE(outcome.status.is(GenericStatus::kAbortedSqDeletion));
}

TEST_F(IoQueuePairTest, SubmittingInsideACallbackAfterADisconnectIsRefused) {
  attach();
  auto queue = allocate();
  Outcome outcome;
  Outcome refused;
  outcome.then = [&] {
    queue->disconnect();
    EXPECT_EQ(read(*queue, refused), -ENXIO);
  };
  ASSERT_EQ(read(*queue, outcome), 0);
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return outcome.done;
  }));
  EXPECT_FALSE(refused.done);
}

TEST_F(IoQueuePairTest, ReconnectingInsideTheCallbackThatEndsACommand) {
  attach();
  auto queue = allocate();
  simulation_.hold_io = true;
  Outcome aborted;
  int reconnected = -1;
  aborted.then = [&] { reconnected = queue->reconnect(); };
  ASSERT_EQ(read(*queue, aborted), 0);
  poll(2);
  queue->disconnect();
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return aborted.done;
  }));
  EXPECT_EQ(reconnected, -EAGAIN) << "the old connection is not closed yet";
  simulation_.hold_io = false;
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() == -ENXIO; }));
  EXPECT_EQ(queue->reconnect(), 0);
  EXPECT_TRUE(queue->wait_connected());
}

TEST_F(IoQueuePairTest, EachFailureReasonHasItsCauseAndName) {
  attach();
  auto queue = allocate();
  EXPECT_EQ(queue->failure(), QueueFailure::kNone);
  queue->disconnect();
  ASSERT_TRUE(poll_until([&] { return queue->process_completions() == -ENXIO; }));
  EXPECT_EQ(queue->failure(), QueueFailure::kLocal);
  simulation_.refuse = true;
  ASSERT_EQ(queue->reconnect(), 0);
  EXPECT_FALSE(queue->wait_connected());
  EXPECT_EQ(queue->failure(), QueueFailure::kRemote);
  EXPECT_NE(queue->failure_text().find("refused"), std::string::npos);
  simulation_.refuse = false;
  ASSERT_EQ(queue->reconnect(), 0);
  ASSERT_TRUE(queue->wait_connected());
  EXPECT_EQ(queue->failure(), QueueFailure::kNone) << "that is over";
  ASSERT_TRUE(reset());
  EXPECT_EQ(queue->failure(), QueueFailure::kReset);
  const std::pair<QueueFailure, std::string> names[] = {{QueueFailure::kNone, "none"},
                                                        {QueueFailure::kLocal, "local"},
                                                        {QueueFailure::kRemote, "remote"},
                                                        {QueueFailure::kUnknown, "unknown"},
                                                        {QueueFailure::kReset, "reset"}};
  for (const auto& [failure, name] : names) EXPECT_EQ(queue_failure_name(failure), name);
}

TEST_F(IoQueuePairTest, OptionsAreClampedToWhatTheControllerHas) {
  attach();
  IoQueuePairOptions options;
  options.queue_size = 1u << 20;
  auto queue = allocate(options);
  EXPECT_LE(queue->options().queue_size, 1024u);
  EXPECT_GE(queue->options().requests, queue->options().queue_size);
  options.queue_size = 4;
  options.requests = 1;
  EXPECT_EQ(allocate(options)->options().requests, 4u) << "never fewer than the queue holds";
  options.requests = IoQueuePairOptions::kMaxRequests + 1;
  const auto refused = controller_->allocate_io_queue_pair(options);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("65536"), std::string::npos);
}

}  // namespace
}  // namespace nvublk::nvme
