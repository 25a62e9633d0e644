// The recovery's own rules, without a controller: what comes after what, and how long it waits.

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "nvme/recovery.h"

namespace nvublk::nvme {
namespace {

using Kind = RecoveryAction::Kind;
using Action = Recovery::Action;
using Event = Recovery::Event;

constexpr Instant kStart = Instant{} + seconds(100);

Event ok(Instant now, Instant old_commands_end = {}) {
  return Event::of(RecoveryOutcome{now, {}, old_commands_end});
}
Event failed(Instant now) {
  return Event::of(RecoveryOutcome{now, Error::make(ErrorCode::kUnreachable, "refused"), {}});
}

// Advances a recovery that goes well until `step` runs.
Action run_until(Recovery& recovery, std::size_t step) {
  Action action = recovery.start(kStart);
  while (recovery.step() != step) {
    const bool waits = step == Recovery::kOldCommands && recovery.step() == Recovery::kConnect;
    action = recovery.advance(ok(kStart, waits ? kStart + seconds(5) : Instant{}), kStart);
  }
  return action;
}

TEST(Recovery, AReconnectPausesFirstAndAResetDoesNot) {
  Recovery reconnect(seconds(10), false, 1);
  EXPECT_EQ(reconnect.start(kStart).payload.kind, Kind::kStopQueues);
  const Action pause = reconnect.advance(ok(kStart), kStart);
  EXPECT_EQ(pause.payload.kind, Kind::kWait);
  EXPECT_LE(pause.payload.until, kStart + milliseconds(500));
  EXPECT_GE(pause.payload.until, kStart + milliseconds(375));

  Recovery reset(seconds(10), true, 1);
  EXPECT_EQ(reset.start(kStart).payload.kind, Kind::kStopQueues);
  EXPECT_EQ(reset.advance(ok(kStart), kStart).payload.kind, Kind::kConnect);
}

TEST(Recovery, PausesDoubleUpToTheReconnectDelay) {
  EXPECT_EQ(Recovery::pause(0, seconds(10)), milliseconds(500));
  EXPECT_EQ(Recovery::pause(1, seconds(10)), seconds(1));
  EXPECT_EQ(Recovery::pause(4, seconds(10)), seconds(8));
  EXPECT_EQ(Recovery::pause(5, seconds(10)), seconds(10));
  EXPECT_EQ(Recovery::pause(1000, seconds(10)), seconds(10));
}

TEST(Recovery, HostsThatLostTheSameTargetDoNotComeBackTogether) {
  std::vector<Instant> times;
  for (std::uint64_t seed = 0; seed < 16; seed++) {
    Recovery recovery(seconds(10), false, seed * 2);
    const Action pause = run_until(recovery, Recovery::kPause);
    times.push_back(pause.payload.until);
  }
  std::ranges::sort(times);
  EXPECT_GT(times.back() - times.front(), milliseconds(30));
}

TEST(Recovery, AFailedAttemptStopsAllQueuesAndPausesLonger) {
  Recovery recovery(seconds(10), false, 3);
  run_until(recovery, Recovery::kConnect);
  EXPECT_EQ(recovery.attempts(), 1u);
  EXPECT_EQ(recovery.advance(failed(kStart), kStart).payload.kind, Kind::kStopQueues);
  ASSERT_NE(recovery.attempt_error(), nullptr);
  const Instant stopped = kStart + seconds(7);
  const Action pause = recovery.advance(ok(stopped), stopped);
  EXPECT_EQ(pause.payload.kind, Kind::kWait);
  EXPECT_GE(pause.payload.until, stopped + milliseconds(750));
  EXPECT_LE(pause.payload.until, stopped + seconds(1));
}

TEST(Recovery, OldCommandsAreWaitedForBeforeAnythingIsSentAgain) {
  Recovery recovery(seconds(10), false, 3);
  const Action wait = run_until(recovery, Recovery::kOldCommands);
  EXPECT_EQ(wait.payload.kind, Kind::kWait);
  EXPECT_EQ(wait.payload.until, kStart + seconds(5));
  EXPECT_EQ(recovery.advance(ok(kStart + seconds(5)), kStart + seconds(5)).payload.kind,
            Kind::kResume);
}

TEST(Recovery, EveryFaultAtEveryStepEndsOrBeginsAnew) {
  for (std::size_t step = 0; step < Recovery::rows().size(); step++) {
    SCOPED_TRACE(Recovery::rows()[step].name);
    Recovery given_up(seconds(10), false, 5);
    run_until(given_up, step);
    const Error over = Error::make(ErrorCode::kDisconnected, "ctrl-loss-tmo is over");
    EXPECT_EQ(given_up.advance(Event::disconnected(over), kStart).kind, Action::Kind::kFailed);
    EXPECT_EQ(given_up.error().step, Recovery::rows()[step].name);

    Recovery broken(seconds(10), false, 5);
    run_until(broken, step);
    const Action action = broken.advance(failed(kStart), kStart);
    if (step == Recovery::kStop) {
      EXPECT_EQ(action.kind, Action::Kind::kFailed) << "queues that do not close are a bug";
    } else if (step == Recovery::kPause) {
      EXPECT_EQ(action.payload.kind, Kind::kConnect) << "nothing is connected that could break";
    } else {
      EXPECT_EQ(action.payload.kind, Kind::kStopQueues);
    }
  }
}

TEST(Recovery, IsDoneOnceIoHasResumed) {
  Recovery recovery(seconds(10), false, 5);
  run_until(recovery, Recovery::kResume);
  EXPECT_EQ(recovery.advance(ok(kStart), kStart).kind, Action::Kind::kDone);
  EXPECT_TRUE(recovery.done());
}

}  // namespace
}  // namespace nvublk::nvme
