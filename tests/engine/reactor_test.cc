#include "engine/reactor.h"

#include <cerrno>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

thread_local unsigned yields = 0;

}  // namespace

/// In front of the C library's.
extern "C" int sched_yield() noexcept {
  yields++;
  return static_cast<int>(syscall(SYS_sched_yield));
}

namespace nvublk {
namespace {

using Log = std::vector<std::string>;

struct LogPoller final : Poller {
  explicit LogPoller(Log& l) : log(l) {}
  unsigned poll() override {
    log.emplace_back("poll");
    return found;
  }
  bool arm() override {
    arms++;
    return armable;
  }
  Log& log;
  unsigned found = 0;
  unsigned arms = 0;
  bool armable = true;
};

struct LogFeeder final : Feeder {
  LogFeeder(Log& l, Reactor& r) : log(l), reactor(r) {}
  void feed() override {
    log.emplace_back("feed");
    if (again) {
      reactor.request_feed(*this);
    }
    if (then_flush != nullptr) {
      reactor.request_flush(*then_flush);
    }
  }
  Log& log;
  Reactor& reactor;
  bool again = false;
  Flusher* then_flush = nullptr;
};

struct LogFlusher final : Flusher {
  LogFlusher(Log& l, Reactor& r) : log(l), reactor(r) {}
  void flush() override {
    log.emplace_back("flush");
    if (again) {
      reactor.request_flush(*this);
    }
  }
  Log& log;
  Reactor& reactor;
  bool again = false;
};

struct LogOp : RingOp {
  explicit LogOp(Log& l) : log(l) {
    complete = [](RingOp& op, std::int32_t, std::uint32_t) {
      static_cast<LogOp&>(op).log.emplace_back("completion");
    };
  }
  Log& log;
};

struct LogMessage : Message {
  explicit LogMessage(Log& l) : log(l) {
    deliver = [](Message& message) { static_cast<LogMessage&>(message).log.emplace_back("mail"); };
  }
  Log& log;
};

class ReactorTest : public testing::Test {
 protected:
  void make(IdleMode mode, Duration spin = microseconds(50)) {
    auto made = Reactor::create({.mode = mode, .spin = spin, .ring = {}});
    ASSERT_TRUE(made) << made.error().text;
    reactor_ = std::move(*made);
  }
  Reactor& reactor() { return *reactor_; }
  Reactor::Counters counters() const { return reactor_->counters(); }

  std::unique_ptr<Reactor> reactor_;
  Log log_;
};

TEST_F(ReactorTest, RunsItsPhasesInOrder) {
  make(IdleMode::kBusy);
  LogPoller poller(log_);
  LogFeeder feeder(log_, reactor());
  LogFlusher flusher(log_, reactor());
  LogOp op(log_);
  LogMessage message(log_);
  Timer timer([](Timer&, void* log) { static_cast<Log*>(log)->emplace_back("timer"); }, &log_);
  Deferred deferred([](Deferred&, void* log) { static_cast<Log*>(log)->emplace_back("deferred"); },
                    &log_);
  io_uring_prep_nop(reactor().ring().prepare(op));
  reactor().turn(false);
  ASSERT_TRUE(log_.empty());

  reactor().request_flush(flusher);
  reactor().defer(deferred);
  reactor().arm(timer, Instant{});
  reactor().request_feed(feeder);
  reactor().add_poller(poller);
  reactor().post(message);
  reactor().turn(false);
  EXPECT_EQ(log_, (Log{"mail", "poll", "completion", "feed", "timer", "deferred", "flush"}));

  log_.clear();
  reactor().turn(false);
  EXPECT_EQ(log_, (Log{"poll"}));
  reactor().remove_poller(poller);
}

TEST_F(ReactorTest, WhatAFeederWritesIsFlushedInTheSameTurn) {
  make(IdleMode::kBusy);
  LogFlusher flusher(log_, reactor());
  LogFeeder feeder(log_, reactor());
  feeder.then_flush = &flusher;
  reactor().request_feed(feeder);
  reactor().request_feed(feeder);
  reactor().turn(false);
  EXPECT_EQ(log_, (Log{"feed", "flush"}));
}

TEST_F(ReactorTest, WorkThatAsksForItselfAgainWaitsForTheNextTurn) {
  make(IdleMode::kInterrupt);
  LogFlusher flusher(log_, reactor());
  LogFeeder feeder(log_, reactor());
  struct Again {
    Reactor& reactor;
    Log& log;
    Deferred work{[](Deferred& item, void* context) {
                    auto& self = *static_cast<Again*>(context);
                    self.log.emplace_back("deferred");
                    self.reactor.defer(item);
                  },
                  this};
  } again{reactor(), log_};
  flusher.again = feeder.again = true;
  reactor().request_flush(flusher);
  reactor().request_feed(feeder);
  reactor().defer(again.work);
  reactor().turn(true);
  EXPECT_EQ(log_, (Log{"feed", "deferred", "flush"}));
  reactor().turn(true);
  EXPECT_EQ(log_.size(), 6U);
  EXPECT_EQ(counters().sleeps, 0U);
  reactor().cancel_flush(flusher);
  reactor().cancel_feed(feeder);
  reactor().cancel(again.work);
  reactor().turn(false);
  EXPECT_EQ(log_.size(), 6U);
}

TEST_F(ReactorTest, WorkMayCancelOtherWorkOfTheSamePhase) {
  make(IdleMode::kBusy);
  struct Canceller {
    Reactor& reactor;
    Deferred other{[](Deferred&, void*) { FAIL() << "was cancelled"; }, nullptr};
    Deferred work{[](Deferred&, void* context) {
                    auto& self = *static_cast<Canceller*>(context);
                    self.reactor.cancel(self.other);
                  },
                  this};
  } canceller{reactor()};
  reactor().defer(canceller.work);
  reactor().defer(canceller.other);
  reactor().turn(false);
}

TEST_F(ReactorTest, APollerMayRemoveItself) {
  make(IdleMode::kBusy);
  struct Leaver final : Poller {
    explicit Leaver(Reactor& r) : reactor(r) {}
    unsigned poll() override {
      reactor.remove_poller(*this);
      return 1;
    }
    bool arm() override { return true; }
    Reactor& reactor;
  } leaver(reactor());
  LogPoller poller(log_);
  reactor().add_poller(leaver);
  reactor().add_poller(poller);
  reactor().turn(false);
  reactor().turn(false);
  EXPECT_EQ(log_, (Log{"poll", "poll"}));
  EXPECT_EQ(counters().polled, 1U);
  reactor().remove_poller(poller);
}

TEST_F(ReactorTest, BusyNeverSleepsAndCallsNothingWithoutWork) {
  make(IdleMode::kBusy);
  for (int i = 0; i < 100; i++) {
    reactor().turn(true);
  }
  EXPECT_EQ(counters().turns, 100U);
  EXPECT_EQ(counters().sleeps, 0U);
  EXPECT_EQ(counters().enters, 1U);  // the wake-up's read was submitted
}

TEST_F(ReactorTest, InterruptSubmitsAndSleepsInOneCall) {
  make(IdleMode::kInterrupt);
  LogOp op(log_);
  for (int i = 0; i < 10; i++) {
    io_uring_prep_nop(reactor().ring().prepare(op));
    reactor().turn(true);
  }
  reactor().turn(false);
  EXPECT_EQ(log_.size(), 10U);
  EXPECT_EQ(counters().sleeps, 10U);
  EXPECT_EQ(counters().enters, 10U);
  EXPECT_EQ(counters().completions, 10U);
}

TEST_F(ReactorTest, AdaptiveSpinsAfterProgressAndThenSleeps) {
  make(IdleMode::kAdaptive, milliseconds(1));
  LogOp op(log_);
  io_uring_prep_nop(reactor().ring().prepare(op));
  Timer timer([](Timer&, void*) {}, nullptr);
  reactor().arm(timer, Clock::now() + milliseconds(20));
  const Instant give_up = Clock::now() + seconds(60);
  while (timer.armed()) {
    ASSERT_LT(Clock::now(), give_up);
    reactor().turn(true);
  }
  EXPECT_EQ(log_.size(), 1U);
  EXPECT_GE(counters().sleeps, 1U);
  EXPECT_LE(counters().sleeps, 4U);
}

struct QuietLog : QuietOp {
  explicit QuietLog(Log& l)
      : QuietOp([](QuietOp& op, std::int32_t result) {
          static_cast<QuietLog&>(op).log.emplace_back(std::to_string(result));
        }),
        log(l) {
    success_result = 42;
  }
  Log& log;
};

TEST_F(ReactorTest, AQuietSuccessDoesNotEndASleepAndIsToldAfterIt) {
  make(IdleMode::kInterrupt);
  QuietLog op(log_);
  io_uring_sqe* sqe = reactor().ring().prepare(op);
  io_uring_prep_nop(sqe);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data(sqe, static_cast<RingOp*>(&op));
  reactor().expect_quietly(op);
  Timer timer([](Timer&, void* log) { static_cast<Log*>(log)->emplace_back("timer"); }, &log_);
  reactor().arm(timer, Clock::now() + milliseconds(2));
  reactor().turn(true);
  EXPECT_EQ(log_, Log{});
  reactor().turn(false);
  EXPECT_EQ(log_, (Log{"42", "timer"}));
  reactor().turn(false);
  EXPECT_EQ(log_.size(), 2U);
  EXPECT_EQ(counters().completions, 0U);
}

TEST_F(ReactorTest, AQuietFailureIsToldOnceWithItsError) {
  make(IdleMode::kInterrupt);
  QuietLog op(log_);
  io_uring_sqe* sqe = reactor().ring().prepare(op);
  io_uring_prep_read(sqe, -1, &op, 1, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data(sqe, static_cast<RingOp*>(&op));
  reactor().expect_quietly(op);
  reactor().turn(true);
  reactor().turn(false);
  reactor().turn(false);
  EXPECT_EQ(log_, (Log{std::to_string(-EBADF)}));
}

TEST_F(ReactorTest, AQuietOperationIsNotOverBeforeItWasSubmitted) {
  make(IdleMode::kInterrupt);
  reactor().turn(false);
  QuietLog op(log_);
  // Prepares `op` in the phase that ends quiet operations.
  struct Later : RingOp {
    Reactor* reactor = nullptr;
    QuietLog* op = nullptr;
  } later;
  later.reactor = &reactor();
  later.op = &op;
  later.complete = [](RingOp& self, std::int32_t, std::uint32_t) {
    auto& own = static_cast<Later&>(self);
    io_uring_sqe* sqe = own.reactor->ring().prepare(*own.op);
    io_uring_prep_nop(sqe);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data(sqe, static_cast<RingOp*>(own.op));
    own.reactor->expect_quietly(*own.op);
  };
  io_uring_prep_nop(reactor().ring().prepare(later));
  reactor().turn(false);
  reactor().turn(false);
  EXPECT_EQ(log_, Log{});
  reactor().turn(false);
  EXPECT_EQ(log_, Log{"42"});
}

TEST_F(ReactorTest, AdaptiveStopsSpinningWhenEventsComeLate) {
  make(IdleMode::kAdaptive, microseconds(200));
  struct Ticker {
    Reactor& reactor;
    int ticks = 0;
    Timer timer{[](Timer& t, void* context) {
                  auto& self = *static_cast<Ticker*>(context);
                  self.ticks++;
                  self.reactor.arm(t, Clock::now() + milliseconds(2));
                },
                this};
  } ticker{reactor()};
  reactor().arm(ticker.timer, Clock::now());
  // A turn that fires the timer and sleeps, and no other; a signal may end a sleep early. Where
  // others want the CPU, learning takes longer: an event that came while they had it was not late.
  constexpr std::uint64_t kMostTurns = 14;
  std::uint64_t turns = kMostTurns + 1;
  for (int round = 0; round < 100 && turns > kMostTurns; round++) {
    const std::uint64_t before = counters().turns;
    const int until = ticker.ticks + 10;
    while (ticker.ticks < until) {
      reactor().turn(true);
    }
    turns = counters().turns - before;
  }
  EXPECT_LE(turns, kMostTurns);
  reactor().cancel(ticker.timer);
}

TEST_F(ReactorTest, AdaptiveYieldsTheCpuInTurnsThatFindNothing) {
  make(IdleMode::kAdaptive, seconds(60));
  reactor().turn(true);  // submits what wakes it
  yields = 0;
  reactor().turn(true);
  EXPECT_EQ(yields, 1U);
  reactor().turn(false);
  EXPECT_EQ(yields, 1U) << "a loop that is not to wait has its own work";
  LogOp op(log_);
  io_uring_prep_nop(reactor().ring().prepare(op));
  reactor().turn(true);
  EXPECT_EQ(yields, 1U) << "the kernel had work";
  reactor().turn(true);
  EXPECT_EQ(log_.size(), 1U);
  EXPECT_EQ(yields, 1U) << "there was something";
  reactor().turn(true);
  EXPECT_EQ(yields, 2U);
}

TEST_F(ReactorTest, BusyNeverYields) {
  make(IdleMode::kBusy);
  yields = 0;
  for (int i = 0; i < 5; i++) {
    reactor().turn(true);
  }
  EXPECT_EQ(yields, 0U);
}

TEST_F(ReactorTest, AdaptiveSleepsAlsoWhenNothingEverHappened) {
  make(IdleMode::kAdaptive, Duration::zero());
  Timer timer([](Timer&, void*) {}, nullptr);
  reactor().arm(timer, Clock::now() + milliseconds(1));
  reactor().turn(true);
  EXPECT_EQ(counters().sleeps, 1U);
  reactor().cancel(timer);
}

TEST_F(ReactorTest, PollersAreArmedBeforeASleepAndCanForbidIt) {
  make(IdleMode::kInterrupt);
  LogPoller poller(log_);
  poller.armable = false;
  reactor().add_poller(poller);
  for (int i = 0; i < 5; i++) {
    reactor().turn(true);
  }
  EXPECT_EQ(poller.arms, 5U);
  EXPECT_EQ(counters().sleeps, 0U);
  poller.armable = true;
  Timer timer([](Timer&, void*) {}, nullptr);
  reactor().arm(timer, Clock::now() + milliseconds(1));
  reactor().turn(true);
  EXPECT_EQ(counters().sleeps, 1U);
  reactor().cancel(timer);
  reactor().remove_poller(poller);
}

TEST_F(ReactorTest, ATimerThatArmsItselfForNowDoesNotHoldTheLoop) {
  make(IdleMode::kInterrupt);
  struct Ticker {
    Reactor& reactor;
    int ticks = 0;
    Timer timer{[](Timer& t, void* context) {
                  auto& self = *static_cast<Ticker*>(context);
                  self.ticks++;
                  self.reactor.arm_after(t, Duration::zero());
                },
                this};
  } ticker{reactor()};
  reactor().arm(ticker.timer, Instant{});
  reactor().turn(true);
  EXPECT_EQ(ticker.ticks, 1);
  reactor().turn(true);
  EXPECT_EQ(ticker.ticks, 2);
  reactor().cancel(ticker.timer);
}

TEST_F(ReactorTest, StopFromAnotherThreadEndsRunInEveryMode) {
  for (const IdleMode mode : {IdleMode::kBusy, IdleMode::kAdaptive, IdleMode::kInterrupt}) {
    make(mode, microseconds(1));
    std::thread other([this] { reactor().stop(); });
    reactor().run();
    other.join();
    EXPECT_GE(counters().turns, 1U);
  }
}

TEST_F(ReactorTest, CountsWhatIsInFlight) {
  make(IdleMode::kBusy);
  reactor().add_in_flight(3);
  reactor().remove_in_flight(1);
  EXPECT_EQ(reactor().in_flight(), 2U);
  reactor().remove_in_flight(2);
}

TEST(IdleMode, HasNames) {
  EXPECT_STREQ(idle_mode_name(IdleMode::kBusy), "busy");
  EXPECT_STREQ(idle_mode_name(IdleMode::kAdaptive), "adaptive");
  EXPECT_STREQ(idle_mode_name(IdleMode::kInterrupt), "interrupt");
}

}  // namespace
}  // namespace nvublk
