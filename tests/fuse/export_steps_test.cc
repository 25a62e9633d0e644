#include "fuse/export_steps.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace nvublk::fuse {
namespace {

const Instant kStart = Clock::now();

ExportOutcome failure(ErrorCode code) {
  return {Error::make(code, "it did not work"), false};
}

/// Takes `steps` through its first `count` actions, all of which succeed.
template <typename Steps>
auto run_until(Steps& steps, std::size_t count) {
  auto action = steps.start(kStart);
  for (std::size_t i = 0; i < count; i++) {
    action = steps.advance(Steps::Event::of({}), kStart);
  }
  return action;
}

TEST(StartSteps, DoesEverythingInOrder) {
  StartSteps steps;
  std::vector<ExportAction> actions;
  for (auto action = steps.start(kStart); action.kind == StartSteps::Action::Kind::kPerform;
       action = steps.advance(StartSteps::Event::of({}), kStart)) {
    actions.push_back(action.payload);
  }
  EXPECT_EQ(actions, (std::vector{ExportAction::kPrepare, ExportAction::kMount,
                                  ExportAction::kStartQueues, ExportAction::kAwaitHandshake,
                                  ExportAction::kAttachLoop, ExportAction::kProbeDevice}));
  EXPECT_TRUE(steps.done());
}

TEST(StartSteps, EveryFaultAtEveryStepFailsAndNamesTheStep) {
  const std::vector<StartSteps::Event> faults = {
      StartSteps::Event::of(failure(ErrorCode::kPermission)),
      StartSteps::Event::of(failure(ErrorCode::kUnsupported)),
      StartSteps::Event::deadline(),
      StartSteps::Event::disconnected(Error::make(ErrorCode::kDisconnected, "gone")),
  };
  for (std::size_t step = 0; step < StartSteps::rows().size(); step++) {
    for (const auto& fault : faults) {
      StartSteps steps;
      run_until(steps, step);
      const auto last = steps.advance(fault, kStart);
      EXPECT_EQ(last.kind, StartSteps::Action::Kind::kFailed);
      EXPECT_EQ(steps.error().step, StartSteps::rows()[step].name);
      EXPECT_FALSE(steps.error().text.empty());
    }
  }
}

TEST(StartSteps, WaitsForTheNodeUntilItsDeadline) {
  for (const std::size_t step : {std::size_t{4}, std::size_t{5}}) {
    StartSteps steps;
    run_until(steps, step);
    auto action = steps.advance(StartSteps::Event::of({std::nullopt, true}), kStart);
    EXPECT_EQ(action.kind, StartSteps::Action::Kind::kSleep);
    action = steps.advance(StartSteps::Event::woke(), action.until);
    EXPECT_EQ(action.kind, StartSteps::Action::Kind::kPerform);
    action = steps.advance(StartSteps::Event::of({std::nullopt, true}), action.deadline);
    EXPECT_EQ(action.kind, StartSteps::Action::Kind::kFailed);
    EXPECT_EQ(steps.error().code, ErrorCode::kTimeout);
  }
}

TEST(ReleaseSteps, SaysAtOnceWhoHoldsTheDevice) {
  ReleaseSteps steps;
  steps.start(kStart);
  const auto last = steps.advance(ReleaseSteps::Event::of(failure(ErrorCode::kBusy)), kStart);
  EXPECT_EQ(last.kind, ReleaseSteps::Action::Kind::kFailed);
  EXPECT_EQ(steps.error().code, ErrorCode::kBusy);
}

TEST(ReleaseSteps, TriesAgainWhileItIsOnlyOpenInAProcessButNotForEver) {
  ReleaseSteps steps;
  for (int run = 0; run < 2; run++) {
    steps.begin_again();
    Instant now = kStart;
    auto action = steps.start(now);
    int attempts = 0;
    while (action.kind == ReleaseSteps::Action::Kind::kPerform) {
      attempts++;
      ExportOutcome open = failure(ErrorCode::kBusy);
      open.again = true;
      action = steps.advance(ReleaseSteps::Event::of(open), now);
      if (action.kind == ReleaseSteps::Action::Kind::kSleep) {
        now = action.until;
        action = steps.advance(ReleaseSteps::Event::woke(), now);
      }
    }
    EXPECT_EQ(action.kind, ReleaseSteps::Action::Kind::kFailed);
    EXPECT_EQ(steps.error().code, ErrorCode::kBusy);
    EXPECT_EQ(attempts, 10);
  }
}

TEST(TeardownSteps, GoesOnWhateverFails) {
  TeardownSteps steps;
  std::size_t actions = 0;
  for (auto action = steps.start(kStart); action.kind == TeardownSteps::Action::Kind::kPerform;
       action = steps.advance(TeardownSteps::Event::of(failure(ErrorCode::kSystem)), kStart)) {
    actions++;
  }
  EXPECT_EQ(actions, TeardownSteps::rows().size());
  EXPECT_TRUE(steps.done());
}

}  // namespace
}  // namespace nvublk::fuse
