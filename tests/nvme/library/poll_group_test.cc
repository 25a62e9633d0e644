#include "nvme/poll_group.h"

#include <array>
#include <cerrno>

#include "nvme/library/library_fixture.h"
#include "nvme/poll_result.h"

namespace nvublk::nvme {
namespace {

struct Disconnects {
  std::vector<IoQueuePair*> seen;
  static void record(void* context, IoQueuePair& queue_pair) {
    static_cast<Disconnects*>(context)->seen.push_back(&queue_pair);
  }
};

class PollGroupTest : public LibraryTest {
 protected:
  IoQueuePair::Pointer unconnected(bool interrupts = false) {
    IoQueuePairOptions options;
    options.create_only = true;
    options.interrupts = interrupts;
    options.delay_submit = !interrupts;
    return allocate(options);
  }
  void connect_all(PollGroup& group, const std::vector<IoQueuePair*>& queues) {
    for (IoQueuePair* queue : queues) ASSERT_EQ(queue->connect(), 0);
    EXPECT_EQ(group.all_connected(), -EAGAIN);
    ASSERT_TRUE(poll_until([&] { return group.all_connected() == 0; }));
  }
};

TEST_F(PollGroupTest, AddsOnlyDisconnectedQueuePairsOfNoGroup) {
  attach();
  PollGroup group;
  auto connected = allocate();
  EXPECT_EQ(group.add(*connected), -EINVAL);
  auto queue = unconnected();
  EXPECT_EQ(group.add(*queue), 0);
  EXPECT_EQ(group.add(*queue), -EBUSY);
  EXPECT_EQ(group.size(), 1u);
  EXPECT_EQ(group.remove(*connected), -ENOENT);
  EXPECT_EQ(group.remove(*queue), 0);
}

TEST_F(PollGroupTest, InterruptModeMismatchIsRejected) {
  attach();
  PollGroup polled;
  PollGroupOptions interrupt_options;
  interrupt_options.interrupts = true;
  PollGroup sleeping(interrupt_options);
  auto with_interrupts = unconnected(true);
  auto without = unconnected();
  EXPECT_EQ(polled.add(*with_interrupts), -EINVAL);
  EXPECT_EQ(sleeping.add(*without), -EINVAL);
  EXPECT_EQ(sleeping.add(*with_interrupts), 0);
  EXPECT_EQ(polled.wait(seconds(0)), -EINVAL);
  EXPECT_EQ(sleeping.remove(*with_interrupts), 0);
}

TEST_F(PollGroupTest, CompletesForAllMembersWithALimitForEach) {
  attach();
  PollGroup group;
  auto first = unconnected();
  auto second = unconnected();
  ASSERT_EQ(group.add(*first), 0);
  ASSERT_EQ(group.add(*second), 0);
  connect_all(group, {first.get(), second.get()});
  std::array<Outcome, 6> outcomes;
  for (std::size_t i = 0; i < outcomes.size(); i++) {
    ASSERT_EQ(read(i % 2 == 0 ? *first : *second, outcomes[i]), 0);
  }
  poll(2);
  EXPECT_EQ(group.process_completions(1, nullptr), 2);
  EXPECT_EQ(group.process_completions(0, nullptr), 4);
  EXPECT_EQ(group.process_completions(0, nullptr), 0);
  EXPECT_EQ(group.statistics().completions, 6u);
  EXPECT_EQ(group.statistics().idle_polls, 1u);
}

TEST_F(PollGroupTest, AReentrantPollDoesNothing) {
  attach();
  PollGroup group;
  auto queue = unconnected();
  ASSERT_EQ(group.add(*queue), 0);
  connect_all(group, {queue.get()});
  std::array<Outcome, 2> outcomes;
  std::int64_t inside = -1;
  outcomes[0].then = [&] { inside = group.process_completions(0, nullptr); };
  for (Outcome& outcome : outcomes) ASSERT_EQ(read(*queue, outcome), 0);
  poll(2);
  EXPECT_EQ(group.process_completions(0, nullptr), 2);
  EXPECT_EQ(inside, 0);
}

// Queue pairs have no other error than ENXIO yet, so this cannot be seen of a group.
TEST(PollResult, TheFirstOfSeveralErrorsWins) {
  PollResult result;
  result.add(3);
  EXPECT_EQ(result.value(), 3);
  result.add(-ENXIO);
  result.add(-EIO);
  result.add(2);
  EXPECT_EQ(result.value(), -ENXIO);
  EXPECT_EQ(result.completions(), 5);
}

TEST_F(PollGroupTest, TheFirstErrorWinsAndTheOthersAreStillProcessed) {
  attach();
  PollGroup group;
  auto broken = unconnected();
  auto healthy = unconnected();
  auto last = unconnected();
  for (IoQueuePair* each : {broken.get(), healthy.get(), last.get()}) {
    ASSERT_EQ(group.add(*each), 0);
  }
  connect_all(group, {broken.get(), healthy.get(), last.get()});
  broken->disconnect();
  last->disconnect();
  Outcome outcome;
  ASSERT_EQ(read(*healthy, outcome), 0);
  ASSERT_TRUE(poll_until([&] {
    return broken->state() == QueueState::kDisconnected &&
           last->state() == QueueState::kDisconnected;
  }));
  poll(2);
  Disconnects disconnects;
  EXPECT_EQ(group.process_completions(0, &Disconnects::record, &disconnects), -ENXIO);
  EXPECT_TRUE(outcome.done);
  EXPECT_EQ(disconnects.seen, (std::vector<IoQueuePair*>{broken.get(), last.get()}));
  EXPECT_EQ(group.all_connected(), -EIO);
}

TEST_F(PollGroupTest, TheDisconnectedCallbackMayReconnectOrFree) {
  attach();
  PollGroup group;
  auto first = unconnected();
  auto second = unconnected();
  ASSERT_EQ(group.add(*first), 0);
  ASSERT_EQ(group.add(*second), 0);
  struct Context {
    IoQueuePair* reconnected;
    IoQueuePair::Pointer* freed;
  } context{first.get(), &second};
  const auto callback = [](void* opaque, IoQueuePair& queue) {
    auto* both = static_cast<Context*>(opaque);
    if (&queue == both->reconnected) {
      EXPECT_EQ(queue.connect(), 0);
    } else {
      both->freed->reset();
    }
  };
  EXPECT_EQ(group.process_completions(0, callback, &context), -ENXIO);
  EXPECT_EQ(group.size(), 1u);
  ASSERT_TRUE(poll_until([&] { return group.all_connected() == 0; }));
  EXPECT_EQ(group.process_completions(0, callback, &context), 0);
}

TEST_F(PollGroupTest, FreeingAMemberInsideACallback) {
  attach();
  PollGroup group;
  auto first = unconnected();
  auto second = unconnected();
  ASSERT_EQ(group.add(*first), 0);
  ASSERT_EQ(group.add(*second), 0);
  connect_all(group, {first.get(), second.get()});
  Outcome on_first;
  Outcome on_second;
  on_first.then = [&] { second.reset(); };
  ASSERT_EQ(read(*first, on_first), 0);
  ASSERT_EQ(read(*second, on_second), 0);
  poll(2);
  EXPECT_EQ(group.process_completions(0, nullptr), 1);
  EXPECT_TRUE(on_second.done) << "ended by the free";
  EXPECT_EQ(group.size(), 1u);
}

TEST_F(PollGroupTest, DestroyRefusesWithMembers) {
  attach();
  PollGroup group;
  auto queue = unconnected();
  ASSERT_EQ(group.add(*queue), 0);
  EXPECT_EQ(group.destroy(), -EBUSY);
  queue.reset();
  EXPECT_EQ(group.destroy(), 0);
}

TEST_F(PollGroupTest, AConnectedMemberCannotBeRemoved) {
  attach();
  PollGroup group;
  auto queue = unconnected();
  ASSERT_EQ(group.add(*queue), 0);
  connect_all(group, {queue.get()});
  EXPECT_EQ(group.remove(*queue), -EINVAL);
}

TEST_F(PollGroupTest, WaitSleepsUntilSomethingCompletes) {
  attach();
  PollGroupOptions options;
  options.interrupts = true;
  PollGroup group(options);
  auto queue = unconnected(true);
  ASSERT_EQ(group.add(*queue), 0);
  connect_all(group, {queue.get()});
  EXPECT_EQ(group.wait(milliseconds(1)), 0);
  EXPECT_EQ(group.process_completions(0, nullptr), 0);
  Outcome outcome;
  ASSERT_EQ(read(*queue, outcome), 0);
  EXPECT_EQ(group.wait(seconds(20)), 0);
  EXPECT_EQ(group.process_completions(0, nullptr), 1);
  EXPECT_GE(group.statistics().sleeps, 2u);
}

TEST_F(PollGroupTest, AMemberMayBeAddedInsideACallback) {
  attach();
  PollGroup group;
  auto first = unconnected();
  auto second = unconnected();
  ASSERT_EQ(group.add(*first), 0);
  connect_all(group, {first.get()});
  Outcome outcome;
  outcome.then = [&] { EXPECT_EQ(group.add(*second), 0); };
  ASSERT_EQ(read(*first, outcome), 0);
  poll(2);
  EXPECT_EQ(group.process_completions(0, nullptr), -ENXIO) << "the new one is not connected";
  EXPECT_TRUE(outcome.done);
  EXPECT_EQ(group.size(), 2u);
}

TEST_F(PollGroupTest, AMemberMayLeaveInTheDisconnectedCallback) {
  attach();
  PollGroup group;
  auto queue = unconnected();
  ASSERT_EQ(group.add(*queue), 0);
  EXPECT_EQ(group.process_completions(
                0,
                [](void* context, IoQueuePair& gone) {
                  EXPECT_EQ(static_cast<PollGroup*>(context)->remove(gone), 0);
                },
                &group),
            -ENXIO);
  EXPECT_EQ(group.size(), 0u);
  EXPECT_EQ(group.process_completions(0, nullptr), 0);
  EXPECT_EQ(group.destroy(), 0);
}

TEST_F(PollGroupTest, WaitEndsWhenAMemberIsDisconnected) {
  attach();
  PollGroupOptions options;
  options.interrupts = true;
  PollGroup group(options);
  auto queue = unconnected(true);
  ASSERT_EQ(group.add(*queue), 0);
  connect_all(group, {queue.get()});
  queue->disconnect();
  // The test's time limit ends a wait that does not end.
  std::int64_t result = 0;
  while (result == 0) {
    EXPECT_EQ(group.wait(seconds(300)), 0);
    result = group.process_completions(0, nullptr);
  }
  EXPECT_EQ(result, -ENXIO);
  EXPECT_EQ(group.wait(seconds(300)), 0) << "it does not sleep over a member that is gone";
}

TEST_F(PollGroupTest, WaitWithoutMembersEndsAtItsLimit) {
  attach();
  PollGroupOptions options;
  options.interrupts = true;
  PollGroup group(options);
  const Instant start = Clock::now();
  EXPECT_EQ(group.wait(milliseconds(5)), 0);
  EXPECT_GE(Clock::now() - start, milliseconds(5));
}

}  // namespace
}  // namespace nvublk::nvme
