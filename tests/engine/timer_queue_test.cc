#include "engine/timer_queue.h"

#include <vector>

#include <gtest/gtest.h>

namespace nvublk {
namespace {

constexpr Instant at(int ms) {
  return Instant{} + milliseconds(ms);
}

// A timer that notes its number; `act` may do more.
struct Probe {
  Probe(TimerQueue& q, std::vector<int>& l, int n) : queue(q), log(l), number(n) {}
  ~Probe() { queue.cancel(timer); }
  static void fire(Timer&, void* context) {
    auto& self = *static_cast<Probe*>(context);
    self.log.push_back(self.number);
    if (self.act != nullptr) {
      self.act(self);
    }
  }
  TimerQueue& queue;
  std::vector<int>& log;
  int number;
  Timer timer{fire, this};
  void (*act)(Probe& self) = nullptr;
  Probe* other = nullptr;
};

class TimerQueueTest : public testing::Test {
 protected:
  TimerQueue queue_;
  std::vector<int> log_;
};

TEST_F(TimerQueueTest, FiresInOrderOfDeadlinesAndOfArming) {
  Probe a(queue_, log_, 1), b(queue_, log_, 2), c(queue_, log_, 3), d(queue_, log_, 4);
  queue_.arm(c.timer, at(30));
  queue_.arm(a.timer, at(10));
  queue_.arm(d.timer, at(30));
  queue_.arm(b.timer, at(20));
  EXPECT_EQ(queue_.next_deadline(), at(10));
  EXPECT_EQ(queue_.fire(at(9)), 0U);
  EXPECT_EQ(queue_.fire(at(20)), 2U);
  EXPECT_EQ(queue_.next_deadline(), at(30));
  EXPECT_EQ(queue_.fire(at(31)), 2U);
  EXPECT_EQ(log_, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(queue_.next_deadline(), kNever);
}

TEST_F(TimerQueueTest, ArmingAgainMovesATimer) {
  Probe a(queue_, log_, 1), b(queue_, log_, 2);
  queue_.arm(a.timer, at(10));
  queue_.arm(b.timer, at(20));
  queue_.arm(a.timer, at(30));
  EXPECT_EQ(a.timer.deadline(), at(30));
  queue_.fire(at(30));
  EXPECT_EQ(log_, (std::vector<int>{2, 1}));
  EXPECT_FALSE(a.timer.armed());
}

TEST_F(TimerQueueTest, ACancelledTimerDoesNotFire) {
  Probe a(queue_, log_, 1);
  queue_.cancel(a.timer);
  queue_.arm(a.timer, at(10));
  queue_.cancel(a.timer);
  EXPECT_EQ(queue_.fire(at(10)), 0U);
  EXPECT_TRUE(log_.empty());
}

TEST_F(TimerQueueTest, ACallbackMayCancelAnotherThatIsDue) {
  Probe a(queue_, log_, 1), b(queue_, log_, 2), c(queue_, log_, 3);
  a.other = &b;
  a.act = [](Probe& self) {
    EXPECT_TRUE(self.other->timer.armed());
    self.queue.cancel(self.other->timer);
  };
  queue_.arm(a.timer, at(1));
  queue_.arm(b.timer, at(2));
  queue_.arm(c.timer, at(3));
  EXPECT_EQ(queue_.fire(at(5)), 2U);
  EXPECT_EQ(log_, (std::vector<int>{1, 3}));
}

TEST_F(TimerQueueTest, ACallbackMayPutOffAnotherThatIsDue) {
  Probe a(queue_, log_, 1), b(queue_, log_, 2);
  a.other = &b;
  a.act = [](Probe& self) { self.queue.arm(self.other->timer, at(50)); };
  queue_.arm(a.timer, at(1));
  queue_.arm(b.timer, at(2));
  EXPECT_EQ(queue_.fire(at(5)), 1U);
  EXPECT_EQ(queue_.next_deadline(), at(50));
}

TEST_F(TimerQueueTest, ATimerThatArmsItselfForThePastDoesNotHoldTheLoop) {
  Probe a(queue_, log_, 1);
  a.act = [](Probe& self) { self.queue.arm(self.timer, at(0)); };
  queue_.arm(a.timer, at(1));
  EXPECT_EQ(queue_.fire(at(5)), 1U);
  EXPECT_EQ(queue_.next_deadline(), at(0));
  EXPECT_EQ(queue_.fire(at(5)), 1U);
}

TEST(Time, AddsWithoutOverflow) {
  EXPECT_EQ(instant_after(at(1), milliseconds(2)), at(3));
  EXPECT_EQ(instant_after(at(1), Duration::max()), kNever);
  EXPECT_EQ(instant_after(kNever, seconds(1)), kNever);
}

TEST(Time, CountsWholeMilliseconds) {
  EXPECT_EQ(milliseconds_between(at(5), at(1005)), 1000U);
  EXPECT_EQ(milliseconds_between(at(5), at(5) + microseconds(999)), 0U);
  EXPECT_EQ(milliseconds_between(at(5), at(1)), 0U);
}

}  // namespace
}  // namespace nvublk
