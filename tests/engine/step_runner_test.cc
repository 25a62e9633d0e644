#include "engine/step_runner.h"

#include <deque>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "engine/shard.h"
#include "engine/toy_machine.h"

namespace nvublk {
namespace {

using Runner = StepRunner<ToyMachine, ToyQuestion, ToyOutcome>;

// Answers each question from phase 6, as an owner of a socket would.
class StepRunnerTest : public testing::Test, public StepOwner<ToyMachine, ToyQuestion> {
 protected:
  StepRunnerTest() {
    auto shard = Shard::adopt_current_thread({.reactor = {.mode = IdleMode::kAdaptive}});
    EXPECT_TRUE(shard);
    shard_ = std::move(*shard);
    runner_ = std::make_unique<Runner>(reactor(), machine_, *this);
  }
  ~StepRunnerTest() override {
    reactor().cancel(answer_);
    runner_.reset();
  }

  Reactor& reactor() { return shard_->reactor(); }

  void perform(ToyMachine& machine, const ToyQuestion& question) override {
    EXPECT_EQ(&machine, &machine_);
    asked_.push_back(question);
    if (!silent_) {
      reactor().defer(answer_);
    }
  }
  void ended(ToyMachine&) override { ended_++; }

  void give_answer() {
    ASSERT_TRUE(runner_->waiting());
    int value = ToyMachine::kGood;
    if (asked_.back() == ToyQuestion::kPoll && machine_.polls < 3) {
      value = 0;
    }
    runner_->finish(ToyOutcome{value, std::nullopt});
  }

  // Turns until `done`, or fails the test after far more time than it can take.
  template <typename Done>
  void turn_until(Done done) {
    const Instant give_up = Clock::now() + seconds(60);
    while (!done()) {
      ASSERT_LT(Clock::now(), give_up);
      reactor().turn_or_wait();
    }
  }

  std::unique_ptr<Shard> shard_;
  ToyMachine machine_;
  std::unique_ptr<Runner> runner_;
  Deferred answer_{[](Deferred&, void* self) { static_cast<StepRunnerTest*>(self)->give_answer(); },
                   this};
  std::vector<ToyQuestion> asked_;
  bool silent_ = false;
  int ended_ = 0;
};

TEST_F(StepRunnerTest, RunsASequenceWithSleepsToItsEnd) {
  machine_.limit = machine_.poll_limit = seconds(60);
  machine_.poll_delay = milliseconds(1);
  runner_->start();
  EXPECT_TRUE(runner_->running());
  turn_until([this] { return ended_ > 0; });
  EXPECT_EQ(ended_, 1);
  EXPECT_TRUE(machine_.done());
  EXPECT_EQ(machine_.polls, 3);
  EXPECT_FALSE(runner_->waiting());
  EXPECT_FALSE(runner_->running());
}

TEST_F(StepRunnerTest, ReportsTheDeadlineOfAPeerThatSaysNothing) {
  silent_ = true;
  machine_.limit = milliseconds(2);
  runner_->start();
  EXPECT_TRUE(runner_->waiting());
  turn_until([this] { return ended_ > 0; });
  EXPECT_TRUE(machine_.failed());
  EXPECT_EQ(machine_.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(machine_.error().step, "hello");
  EXPECT_FALSE(runner_->waiting());
}

TEST_F(StepRunnerTest, ADeadlineEndsASleepThatWouldOutlastIt) {
  machine_.limit = seconds(60);
  machine_.poll_limit = milliseconds(2);
  machine_.poll_delay = seconds(3600);
  runner_->start();
  turn_until([this] { return ended_ > 0; });
  EXPECT_EQ(machine_.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(machine_.error().step, "poll");
}

TEST_F(StepRunnerTest, ReportsADisconnect) {
  silent_ = true;
  machine_.limit = Duration::max();
  runner_->start();
  runner_->disconnected(Error::make(ErrorCode::kDisconnected, "peer closed"));
  EXPECT_EQ(ended_, 1);
  EXPECT_EQ(machine_.error().code, ErrorCode::kDisconnected);
  runner_->disconnected(Error::make(ErrorCode::kDisconnected, "again"));
  EXPECT_EQ(ended_, 1);
}

TEST_F(StepRunnerTest, CancelStopsWithoutAReport) {
  silent_ = true;
  machine_.limit = milliseconds(1);
  runner_->start();
  runner_->cancel();
  EXPECT_FALSE(runner_->waiting());
  EXPECT_FALSE(runner_->running()) << "nobody is to take it for one that goes on";
  EXPECT_STREQ(machine_.step_name(), "hello") << "where it was";
  bool later = false;
  Timer timer([](Timer&, void* flag) { *static_cast<bool*>(flag) = true; }, &later);
  reactor().arm(timer, Clock::now() + milliseconds(3));
  turn_until([&later] { return later; });
  EXPECT_EQ(ended_, 0);
}

TEST_F(StepRunnerTest, ACancelledSequenceCanBeginAgain) {
  machine_.limit = seconds(60);
  silent_ = true;
  runner_->start();
  runner_->cancel();
  silent_ = false;
  machine_.poll_delay = milliseconds(1);
  runner_->start();
  turn_until([this] { return ended_ > 0; });
  EXPECT_TRUE(machine_.done());
}

TEST_F(StepRunnerTest, MayBeDestroyedWhileItWaits) {
  silent_ = true;
  machine_.limit = milliseconds(1);
  runner_->start();
  runner_.reset();
  reactor().turn(false);
  EXPECT_EQ(ended_, 0);
}

}  // namespace
}  // namespace nvublk
