#include "engine/step_machine.h"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/toy_machine.h"

namespace nvublk {
namespace {

using Action = ToyMachine::Action;
using Event = ToyMachine::Event;
using Kind = Action::Kind;

constexpr Instant at(int ms) {
  return Instant{} + milliseconds(ms);
}

ToyOutcome answer(int value) {
  return ToyOutcome{value, std::nullopt};
}
ToyOutcome failure(std::string text) {
  return ToyOutcome{0, Error::make(ErrorCode::kNvmeStatus, std::move(text))};
}

// What a well-behaved peer answers to `question`.
Event good_answer(ToyMachine& machine, ToyQuestion question) {
  if (question == ToyQuestion::kPoll) {
    return Event::of(answer(machine.polls >= 3 ? 1 : 0));
  }
  return Event::of(answer(1));
}

// Runs until step `stop` performs its payload, or to the end; returns the last action.
Action run_to(ToyMachine& machine, std::size_t stop, Instant now) {
  Action action = machine.start(now);
  while (action.kind != Kind::kDone) {
    if (action.kind == Kind::kPerform && machine.step() == stop) {
      break;
    }
    action = action.kind == Kind::kSleep
                 ? machine.advance(Event::woke(), now)
                 : machine.advance(good_answer(machine, action.payload), now);
  }
  return action;
}

TEST(StepMachine, RunsItsRowsInOrder) {
  ToyMachine machine;
  EXPECT_STREQ(machine.step_name(), "");
  Action action = machine.start(at(0));
  std::vector<std::string> names;
  while (action.kind != Kind::kDone) {
    ASSERT_NE(action.kind, Kind::kFailed);
    if (action.kind == Kind::kSleep) {
      action = machine.advance(Event::woke(), at(0));
      continue;
    }
    if (names.empty() || names.back() != machine.step_name()) {
      names.emplace_back(machine.step_name());
    }
    action = machine.advance(good_answer(machine, action.payload), at(0));
  }
  EXPECT_EQ(names, (std::vector<std::string>{"hello", "poll", "optional", "finish"}));
  EXPECT_TRUE(machine.done());
  EXPECT_FALSE(machine.running());
  EXPECT_FALSE(machine.failed());
  EXPECT_STREQ(machine.step_name(), "finish");
}

TEST(StepMachine, TellsWhichStepRunsSinceWhenAndUntilWhen) {
  ToyMachine machine;
  machine.start(at(100));
  EXPECT_EQ(machine.step(), 0U);
  EXPECT_STREQ(machine.step_spec(), "Toy 1.0 §1");
  EXPECT_EQ(machine.step_since(), at(100));
  EXPECT_EQ(machine.step_deadline(), at(110));
  machine.advance(Event::of(answer(1)), at(105));
  EXPECT_EQ(machine.step_since(), at(105));
  EXPECT_EQ(machine.step_deadline(), at(205));
}

TEST(StepMachine, FailsClosedAtEveryStepAndFaultAndNamesTheStep) {
  struct Fault {
    const char* name;
    Event event;
    ErrorCode code;
  };
  const std::array kFaults{
      Fault{"disconnected",
            Event::disconnected(Error::make(ErrorCode::kDisconnected, "peer closed")),
            ErrorCode::kDisconnected},
      Fault{"deadline", Event::deadline(), ErrorCode::kTimeout},
      Fault{"error", Event::of(failure("Invalid Field")), ErrorCode::kNvmeStatus},
      Fault{"nonsense", Event::of(answer(666)), ErrorCode::kProtocol},
  };
  for (std::size_t step = 0; step < ToyMachine::kSteps; step++) {
    for (const Fault& fault : kFaults) {
      ToyMachine machine;
      const Action action = run_to(machine, step, at(0));
      if (action.kind == Kind::kDone) {
        EXPECT_EQ(step, ToyMachine::kSkipped);
        continue;
      }
      ASSERT_EQ(machine.step(), step);
      const std::string name = machine.step_name();
      const bool tolerated = step == ToyMachine::kOptional && std::string("error") == fault.name;
      const Action last = machine.advance(fault.event, at(1));
      if (tolerated) {
        EXPECT_EQ(last.kind, Kind::kPerform);
        continue;
      }
      EXPECT_EQ(last.kind, Kind::kFailed) << name << " " << fault.name;
      EXPECT_TRUE(machine.failed());
      EXPECT_FALSE(machine.running());
      EXPECT_FALSE(machine.done());
      EXPECT_EQ(machine.error().step, name);
      EXPECT_EQ(machine.error().code, fault.code) << name << " " << fault.name;
      EXPECT_STREQ(machine.step_name(), name.c_str());
    }
  }
}

TEST(StepMachine, ADisconnectOrDeadlineAlsoEndsASleep) {
  for (const bool deadline : {true, false}) {
    ToyMachine machine;
    run_to(machine, ToyMachine::kPoll, at(0));
    const Action sleep = machine.advance(Event::of(answer(0)), at(10));
    ASSERT_EQ(sleep.kind, Kind::kSleep);
    EXPECT_EQ(sleep.until, at(30));
    EXPECT_EQ(sleep.deadline, at(100));
    const Action last = machine.advance(
        deadline ? Event::deadline()
                 : Event::disconnected(Error::make(ErrorCode::kDisconnected, "gone")),
        at(20));
    EXPECT_EQ(last.kind, Kind::kFailed);
    EXPECT_EQ(machine.error().step, "poll");
  }
}

TEST(StepMachine, RepeatsShareOneDeadline) {
  ToyMachine machine;
  run_to(machine, ToyMachine::kPoll, at(0));
  Action action = machine.advance(Event::of(answer(0)), at(50));
  ASSERT_EQ(action.kind, Kind::kSleep);
  action = machine.advance(Event::woke(), at(70));
  ASSERT_EQ(action.kind, Kind::kPerform);
  EXPECT_EQ(action.deadline, at(100));
  action = machine.advance(Event::of(answer(0)), at(100));
  EXPECT_EQ(action.kind, Kind::kFailed);
  EXPECT_EQ(machine.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(machine.error().text, "no answer within 100 ms");
}

TEST(StepMachine, ARepeatWithoutDelayBeginsAtOnce) {
  ToyMachine machine;
  machine.poll_delay = Duration::zero();
  run_to(machine, ToyMachine::kPoll, at(0));
  const Action action = machine.advance(Event::of(answer(0)), at(1));
  EXPECT_EQ(action.kind, Kind::kPerform);
  EXPECT_EQ(machine.step(), ToyMachine::kPoll);
}

TEST(StepMachine, ATolerantRowSeesTheError) {
  ToyMachine machine;
  run_to(machine, ToyMachine::kOptional, at(0));
  const Action action = machine.advance(Event::of(failure("not there")), at(0));
  EXPECT_EQ(action.kind, Kind::kPerform);
  EXPECT_TRUE(machine.optional_missing);
}

TEST(StepMachine, AnEndMayJumpForwardAndBack) {
  ToyMachine machine;
  machine.start(at(0));
  Action action = machine.advance(Event::of(answer(ToyMachine::kJumpToFinish)), at(0));
  EXPECT_EQ(action.kind, Kind::kPerform);
  EXPECT_EQ(machine.step(), ToyMachine::kFinish);
  action = machine.advance(Event::of(answer(ToyMachine::kStartOver)), at(7));
  EXPECT_EQ(machine.step(), 0U);
  EXPECT_EQ(machine.step_since(), at(7));
}

TEST(StepMachine, AnEndMayFinishEarly) {
  ToyMachine machine;
  machine.start(at(0));
  EXPECT_EQ(machine.advance(Event::of(answer(ToyMachine::kDoneEarly)), at(0)).kind, Kind::kDone);
  EXPECT_TRUE(machine.done());
}

TEST(StepMachine, ALimitMayBeForEver) {
  ToyMachine machine;
  machine.limit = Duration::max();
  const Action action = machine.start(at(5));
  EXPECT_EQ(action.deadline, kNever);
  EXPECT_EQ(machine.step_deadline(), kNever);
}

TEST(StepMachine, StartsAgainAfterAFailure) {
  ToyMachine machine;
  machine.start(at(0));
  machine.advance(Event::deadline(), at(10));
  ASSERT_TRUE(machine.failed());
  const Action action = machine.start(at(20));
  EXPECT_EQ(action.kind, Kind::kPerform);
  EXPECT_FALSE(machine.failed());
  EXPECT_EQ(machine.step(), 0U);
}

TEST(StepMachineDeathTest, MisuseIsABugOfOurs) {
  EXPECT_DEATH(
      {
        ToyMachine machine;
        machine.advance(Event::woke(), at(0));
      },
      "CHECK");
  EXPECT_DEATH(
      {
        ToyMachine machine;
        machine.start(at(0));
        machine.start(at(0));
      },
      "CHECK");
  EXPECT_DEATH(
      {
        ToyMachine machine;
        machine.start(at(0));
        machine.advance(Event::of(answer(ToyMachine::kJumpNowhere)), at(0));
      },
      "CHECK");
}

}  // namespace
}  // namespace nvublk
