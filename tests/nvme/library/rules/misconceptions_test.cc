// What is easily taken for granted and is not so, one test for each.

#include "nvme/library/rules/rules_fixture.h"

namespace nvublk::nvme {
namespace {

using Misconceptions = RulesTest;

TEST_F(Misconceptions, ConnectReturnsAControllerSoItIsSynchronousInside) {
  auto context = connect_async(id());
  EXPECT_EQ(context->poll(), -EAGAIN) << "what connect() loops over";
  EXPECT_TRUE(attached_.empty());
  finish(*context);
  EXPECT_EQ(attached_.size(), 1u);
  EXPECT_TRUE(initiator_->connect(id("nqn.2026-01.io.nvublk:two")));
}

TEST_F(Misconceptions, ConnectIsAStackOfItsOwnBesideProbe) {
  EXPECT_TRUE(initiator_->probe(id(), callbacks_));
  const Result<Controller*> connected = initiator_->connect(id());
  ASSERT_TRUE(connected && attached_.size() == 1);
  EXPECT_EQ(*connected, attached_[0]) << "each finds what the other attached";
}

TEST_F(Misconceptions, ANamespaceIsABlockDeviceOfTheSystem) {
  Controller& controller = attach();
  ASSERT_FALSE(controller.namespaces().empty());
  // A library object: whoever wants a device builds it on this, and it may vanish underneath.
  Namespace* subject = controller.namespaces()[0];
  EXPECT_EQ(subject->queue_count(), 0u) << "no way to move data until somebody makes one";
  simulation().controller.nsids.clear();
  bool done = false;
  controller.rescan([&done](Status status) { done = status.has_value(); });
  ASSERT_TRUE(poll_until([&] {
    controller.process_admin_completions();
    return done;
  }));
  EXPECT_FALSE(subject->active());
}

TEST_F(Misconceptions, IoQueuePairsAreGlobal) {
  Controller& one = attach();
  Controller& two = attach("nqn.2026-01.io.nvublk:two");
  auto first = allocate(one);
  auto second = allocate(two);
  EXPECT_EQ(first->qid(), second->qid()) << "ids are a controller's own";
  one.mark_failed(Error::make(ErrorCode::kDisconnected, "gone"));
  EXPECT_FALSE(first->usable());
  EXPECT_TRUE(second->usable());
}

TEST_F(Misconceptions, APollGroupIsDecoration) {
  PollGroup group;
  Controller& controller = attach();
  std::vector<IoQueuePair::Pointer> queues;
  while (queues.size() < 2) {
    queues.push_back(unconnected(controller));
    ASSERT_EQ(group.add(*queues.back()), 0);
    ASSERT_EQ(queues.back()->connect(), 0);
  }
  ASSERT_TRUE(poll_until([&group] { return group.all_connected() == 0; }));
  std::vector<Outcome> outcomes(queues.size());
  for (std::size_t i = 0; i < queues.size(); i++) ASSERT_EQ(read(*queues[i], outcomes[i]), 0);
  const std::uint64_t turns = shard_->reactor().counters().turns;
  std::int64_t completions = 0;
  std::uint64_t polls = 0;
  while (completions < 2 && polls < 100) {
    completions += group.process_completions(0, nullptr);
    polls++;
  }
  EXPECT_EQ(completions, 2);
  EXPECT_EQ(shard_->reactor().counters().turns - turns, polls) << "one turn for all members";
}

TEST_F(Misconceptions, TheAdminQueueIsUsedAtStartupOnly) {
  Controller& controller = attach();
  const std::size_t before = simulation().admin_seen.size();
  bool done = false;
  controller.rescan([&done](Status) { done = true; });
  ASSERT_TRUE(poll_until([&] {
    controller.process_admin_completions();
    return done;
  }));
  EXPECT_GT(simulation().admin_seen.size(), before);
}

TEST_F(Misconceptions, AllocatingAQueuePairIsAllocatingMemory) {
  Controller& controller = attach();
  controller.mark_failed(Error::make(ErrorCode::kDisconnected, "the cable is out"));
  const auto queue = controller.allocate_io_queue_pair();
  ASSERT_FALSE(queue) << "there is memory, and no controller to have a queue of";
  EXPECT_NE(queue.error().text, "");
}

TEST_F(Misconceptions, IoFinishesByItself) {
  auto queue = allocate(attach());
  Outcome outcome;
  ASSERT_EQ(read(*queue, outcome), 0);
  idle(10);
  EXPECT_FALSE(outcome.done);
  EXPECT_EQ(queue->process_completions(), 1);
  EXPECT_TRUE(outcome.done);
}

}  // namespace
}  // namespace nvublk::nvme
