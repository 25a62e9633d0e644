// The objects, what each of them is, and what the calls on it promise.

#include <array>

#include "nvme/library/rules/rules_fixture.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme {
namespace {

using Objects = RulesTest;

TEST_F(Objects, ATransportIdSaysWhereAndHowToConnect) {
  attach();
  ASSERT_EQ(transports_.size(), 1u);
  EXPECT_TRUE(transports_[0] == id());
  EXPECT_EQ(TransportId::parse(id().to_string()), id());
}

TEST_F(Objects, AProbeContextIsTheStateOfWhatIsBeingAttached) {
  auto one = connect_async(id());
  auto two = connect_async(id("nqn.2026-01.io.nvublk:two"));
  finish(*two);
  EXPECT_EQ(attached_.size(), 1u) << "each knows its own only";
  finish(*one);
  EXPECT_EQ(attached_.size(), 2u);
}

TEST_F(Objects, AControllerIsOneAttachedControllerWithItsAdminQueue) {
  Controller& controller = attach();
  EXPECT_EQ(controller.state(), ControllerState::kLive);
  EXPECT_EQ(simulation().queues_alive, 1) << "the admin queue, and no other until asked for";
}

TEST_F(Objects, ANamespaceBelongsToAController) {
  Controller& one = attach();
  Controller& two = attach("nqn.2026-01.io.nvublk:two");
  ASSERT_FALSE(one.namespaces().empty());
  const Namespace* found = one.find_namespace(one.namespaces()[0]->nsid());
  EXPECT_EQ(found, one.namespaces()[0]);
  EXPECT_NE(found, two.find_namespace(found->nsid())) << "the same NSID, another namespace";
  EXPECT_EQ(one.find_namespace(0xfffffffe), nullptr);
}

TEST_F(Objects, AnIoQueuePairCarriesCommandsApartFromTheAdminQueue) {
  Controller& controller = attach();
  auto queue = allocate(controller);
  EXPECT_NE(queue->qid(), 0) << "0 is the admin queue";
  const std::size_t admin = simulation().admin_seen.size();
  Outcome outcome;
  ASSERT_EQ(read(*queue, outcome), 0);
  ASSERT_TRUE(poll_until([&queue] { return queue->process_completions() == 1; }));
  EXPECT_EQ(simulation().admin_seen.size(), admin);
  EXPECT_EQ(simulation().io_seen.size(), 1u);
}

TEST_F(Objects, APollGroupHoldsQueuePairsOfSeveralControllers) {
  PollGroup group;
  auto one = unconnected(attach());
  auto two = unconnected(attach("nqn.2026-01.io.nvublk:two"));
  ASSERT_EQ(group.add(*one), 0);
  ASSERT_EQ(group.add(*two), 0);
  EXPECT_EQ(group.size(), 2u);
  EXPECT_TRUE(one->in_group() && two->in_group());
}

TEST_F(Objects, ATransportIsMadeForTheIdsTransportType) {
  TransportOptions options;
  options.id = id();
  EXPECT_TRUE(make_transport(options));
  options.id.trtype = Trtype::kFibreChannel;
  const auto none = make_transport(options);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().text, "");
}

using ProbeRules = RulesTest;

TEST_F(ProbeRules, ConnectGoesThroughTheProbeMachinery) {
  EXPECT_TRUE(initiator_->probe(id(), callbacks_));
  const auto probed = simulation().admin_seen;
  auto context = connect_async(id("nqn.2026-01.io.nvublk:two"));
  finish(*context);
  const auto connected = simulation("nqn.2026-01.io.nvublk:two").admin_seen;
  ASSERT_EQ(probed.size(), connected.size()) << "the same steps";
  for (std::size_t i = 0; i < probed.size(); i++) {
    EXPECT_EQ(probed[i].opcode, connected[i].opcode) << i;
  }
}

TEST_F(ProbeRules, ConnectFindsTheControllerByTransportIdAndHostNqn) {
  const Result<Controller*> controller = initiator_->connect(id());
  ASSERT_TRUE(controller);
  EXPECT_EQ(initiator_->find(id(), options_.host.nqn), *controller);
  EXPECT_EQ(initiator_->find(id(), "nqn.another"), nullptr);
}

TEST_F(ProbeRules, AnAsyncProbeReturnsEAGAINWhileWorkRemainsAndThenZero) {
  auto context = connect_async(id());
  int pending = 0;
  int result = 0;
  while ((result = context->poll()) == -EAGAIN) pending++;
  EXPECT_GT(pending, 1);
  EXPECT_EQ(result, 0);
  EXPECT_EQ(context->poll(), 0) << "it stays at the end";
}

TEST_F(ProbeRules, FailedControllersAreDestroyedOnTheWay) {
  simulation().refuse = true;
  auto context = connect_async(id());
  finish(*context);
  EXPECT_EQ(failures_.size(), 1u);
  EXPECT_EQ(simulation().queues_alive, 0) << "before the context goes";
}

TEST_F(ProbeRules, AControllerIsReadyAfterItsStepsNotWhenItsMemoryExists) {
  auto context = connect_async(id());
  EXPECT_EQ(transports_.size(), 1u) << "it exists";
  EXPECT_EQ(initiator_->find(id(), options_.host.nqn), nullptr);
  finish(*context);
  EXPECT_NE(initiator_->find(id(), options_.host.nqn), nullptr);
}

using QueuePairRules = RulesTest;

TEST_F(QueuePairRules, AllocationCopiesTheDefaultsAndTheCallersOptions) {
  Controller& controller = attach();
  EXPECT_EQ(allocate(controller)->options().queue_size, options_.queue_size);
  IoQueuePairOptions own;
  own.queue_size = 3;
  own.requests = 11;
  auto queue = allocate(controller, own);
  EXPECT_EQ(queue->options().queue_size, 3u);
  EXPECT_EQ(queue->options().requests, 11u);
}

TEST_F(QueuePairRules, AllocationRejectsInterruptsWithDelayedSubmission) {
  IoQueuePairOptions options;
  options.interrupts = true;
  options.delay_submit = true;
  EXPECT_FALSE(attach().allocate_io_queue_pair(options));
}

TEST_F(QueuePairRules, AllocationConnectsUnlessCreateOnly) {
  Controller& controller = attach();
  EXPECT_EQ(allocate(controller)->state(), QueueState::kLive);
  auto later = unconnected(controller);
  EXPECT_EQ(later->state(), QueueState::kDisconnected);
  EXPECT_EQ(later->connect(), 0);
  EXPECT_TRUE(later->wait_connected());
}

TEST_F(QueuePairRules, SubmissionsAreRejectedUnlessConnectedOrConnecting) {
  auto queue = unconnected(attach());
  Outcome early;
  EXPECT_EQ(read(*queue, early), -ENXIO);
  ASSERT_EQ(queue->connect(), 0);
  EXPECT_EQ(read(*queue, early), 0) << "it waits for the connection";
  ASSERT_TRUE(poll_until([&queue] { return queue->process_completions() == 1; }));
  EXPECT_TRUE(early.status.ok());
}

TEST_F(QueuePairRules, ProcessingResubmitsWhatWaited) {
  Controller& controller = attach();
  IoQueuePairOptions small;
  small.queue_size = 2;
  auto queue = allocate(controller, small);
  std::array<Outcome, 6> outcomes;
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  EXPECT_EQ(queue->waiting(), 4u);
  ASSERT_TRUE(poll_until([&] {
    queue->process_completions();
    return outcomes[5].done;
  }));
  for (std::size_t i = 1; i < outcomes.size(); i++) {
    EXPECT_GT(outcomes[i].order, outcomes[i - 1].order) << "in their order";
  }
}

TEST_F(QueuePairRules, InjectedErrorsStrikeInItsQueueOnly) {
  Controller& controller = attach();
  auto struck = allocate(controller);
  auto other = allocate(controller);
  InjectedError error;
  error.opcode = static_cast<std::uint8_t>(spec::NvmOpcode::kRead);
  error.status = spec::NvmeStatus::make(spec::GenericStatus::kInternalError);
  struck->inject_error(error);
  Outcome bad;
  Outcome good;
  ASSERT_EQ(read(*struck, bad), 0);
  ASSERT_EQ(read(*other, good), 0);
  ASSERT_TRUE(poll_until([&] {
    struck->process_completions();
    other->process_completions();
    return bad.done && good.done;
  }));
  EXPECT_TRUE(bad.status.is(spec::GenericStatus::kInternalError));
  EXPECT_TRUE(good.status.ok());
}

using PollGroupRules = RulesTest;

TEST_F(PollGroupRules, AddingNeedsADisconnectedQueuePair) {
  PollGroup group;
  Controller& controller = attach();
  auto connected = allocate(controller);
  EXPECT_EQ(group.add(*connected), -EINVAL);
  auto queue = unconnected(controller);
  EXPECT_EQ(group.add(*queue), 0);
}

TEST_F(PollGroupRules, ProcessingIsNotReentrant) {
  PollGroup group;
  auto queue = unconnected(attach());
  ASSERT_EQ(group.add(*queue), 0);
  ASSERT_EQ(queue->connect(), 0);
  std::int64_t inside = -1;
  Outcome outcome;
  outcome.then = [&] { inside = group.process_completions(0, nullptr); };
  ASSERT_EQ(read(*queue, outcome), 0);
  ASSERT_TRUE(poll_until([&] { return group.process_completions(0, nullptr) == 1; }));
  EXPECT_EQ(inside, 0);
}

TEST_F(PollGroupRules, ProcessingAddsUpTheCompletionsOfAllMembers) {
  PollGroup group;
  auto one = unconnected(attach());
  auto two = unconnected(attach("nqn.2026-01.io.nvublk:two"));
  for (IoQueuePair* queue : {one.get(), two.get()}) {
    ASSERT_EQ(group.add(*queue), 0);
    ASSERT_EQ(queue->connect(), 0);
  }
  ASSERT_TRUE(poll_until([&group] { return group.all_connected() == 0; }));
  std::array<Outcome, 5> outcomes;
  for (std::size_t i = 0; i < outcomes.size(); i++) {
    ASSERT_EQ(read(i % 2 == 0 ? *one : *two, outcomes[i]), 0);
  }
  idle(3);
  EXPECT_EQ(group.process_completions(0, nullptr), 5);
}

TEST_F(PollGroupRules, ProcessingReturnsAnErrorIfAnyMemberHasOne) {
  PollGroup group;
  Controller& controller = attach();
  auto broken = unconnected(controller);
  auto healthy = unconnected(controller);
  for (IoQueuePair* queue : {broken.get(), healthy.get()}) {
    ASSERT_EQ(group.add(*queue), 0);
    ASSERT_EQ(queue->connect(), 0);
  }
  ASSERT_TRUE(poll_until([&group] { return group.all_connected() == 0; }));
  broken->disconnect();
  Outcome outcome;
  ASSERT_EQ(read(*healthy, outcome), 0);
  ASSERT_TRUE(poll_until([&] { return group.process_completions(0, nullptr) == -ENXIO; }));
  EXPECT_TRUE(poll_until([&] {
    group.process_completions(0, nullptr);
    return outcome.done;
  })) << "the others are served all the same";
}

using EndRules = RulesTest;

TEST_F(EndRules, DetachPollsUntilTheShutdownIsThrough) {
  Controller& controller = attach();
  DetachContext context;
  ASSERT_TRUE(initiator_->detach_async(controller, context));
  EXPECT_EQ(context.poll(), -EAGAIN);
  EXPECT_TRUE(poll_until([&context] { return context.poll() == 0; }));
  EXPECT_EQ(simulation().queues_alive, 0);
}

TEST_F(EndRules, AResetEndsQueuePairsWithThatReasonAndTheirOwnersReconnectThem) {
  Controller& controller = attach();
  auto queue = allocate(controller);
  bool done = false;
  controller.reset([&done](Status status) { done = status.has_value(); });
  ASSERT_TRUE(poll_until([&] {
    controller.process_admin_completions();
    return done;
  }));
  EXPECT_EQ(queue->process_completions(), -ENXIO);
  EXPECT_EQ(queue->failure(), QueueFailure::kReset);
  EXPECT_EQ(queue->reconnect(), 0);
  EXPECT_TRUE(queue->wait_connected());
}

TEST_F(EndRules, AControllerThatIsGoneIsReportedByAScan) {
  Controller& controller = attach();
  controller.mark_failed(Error::make(ErrorCode::kDisconnected, "gone"));
  std::vector<Controller*> removed;
  initiator_->scan_attached([&removed](Controller& each) { removed.push_back(&each); });
  EXPECT_EQ(removed, std::vector<Controller*>{&controller});
}

}  // namespace
}  // namespace nvublk::nvme
