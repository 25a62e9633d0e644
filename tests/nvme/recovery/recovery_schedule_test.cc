// Recovery against every fault at every step and at random times, in simulated time. A schedule
// follows from its seed: NVUBLK_SEED=N runs that one alone, NVUBLK_SCHEDULES=N so many of them.

#include <array>
#include <cstdlib>
#include <iostream>
#include <string>

#include <gtest/gtest.h>

#include "nvme/recovery/recovery_simulation.h"

namespace nvublk::nvme {
namespace {

using World = RecoverySimulation;

struct NamedFault {
  const char* name;
  void (*strike)(World& world);
};

void for_a_while(World& world, Duration duration, std::function<void()> end) {
  world.time.after(duration, std::move(end));
}

Duration some(World& world, int most_ms) {
  return milliseconds(1 + static_cast<int>(world.random() % static_cast<unsigned>(most_ms)));
}

void refuse(World& world) {
  world.target.faults.refuse = true;
  for_a_while(world, some(world, 8000), [&world] { world.target.faults.refuse = false; });
}
void restart(World& world) {
  refuse(world);
  world.target.drop_connections();
}
void black_hole(World& world) {
  world.target.faults.black_hole = true;
  for_a_while(world, some(world, 20000), [&world] { world.target.end_black_hole(); });
}
void silence_admin(World& world) {
  world.target.faults.silent_admin = true;
  for_a_while(world, some(world, 30000), [&world] { world.target.faults.silent_admin = false; });
}
void drop_one(World& world) {
  world.target.drop_queue(static_cast<std::uint16_t>(world.random() % 3));
}
void delay(World& world) {
  world.target.faults.delay = some(world, 3000);
  for_a_while(world, some(world, 20000), [&world] { world.target.faults.delay = {}; });
}
void change_policy(World& world) {
  ControllerOptions policy = world.controller().options();
  policy.reconnect_delay = seconds(1 + static_cast<int>(world.random() % 5));
  policy.timeout_action = world.random() % 2 == 0 ? TimeoutAction::kAbort : TimeoutAction::kReset;
  world.controller().set_policy(policy, [](const Status&) {});
}

// After these nothing is lost; kLosses are others.
constexpr std::array<NamedFault, 14> kFaults = {{
    {"drop all connections", [](World& world) { world.target.drop_connections(); }},
    {"drop one connection", drop_one},
    {"refuse connections", refuse},
    {"restart", restart},
    {"black hole", black_hole},
    {"silent admin queue", silence_admin},
    {"stuck command", [](World& world) { world.target.faults.stuck_io = 1; }},
    {"busy", [](World& world) { world.target.faults.busy_io = 2; }},
    {"namespace not ready", [](World& world) { world.target.faults.not_ready_io = 1; }},
    {"data cut off", [](World& world) { world.target.faults.partial_io = 2; }},
    {"delay", delay},
    {"CSTS.CFS", [](World& world) { world.target.fail_controllers(); }},
    {"reset by the user", [](World& world) { world.controller().reset([](const Status&) {}); }},
    {"another policy", change_policy},
}};

// The media are not to be had any more, and whatever else there is must not get their writes.
constexpr std::array<NamedFault, 2> kLosses = {{
    {"wrong identity",
     [](World& world) {
       world.target.drop_connections();
       world.target.replace_media();
     }},
    {"namespace removed",
     [](World& world) {
       world.target.drop_connections();
       world.target.remove_namespace();
     }},
}};

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void set_up(World& world) {
  world.target.controller.retry_delay_100ms = 5;
  world.target.late_writes = world.random() % 2 == 0;
  world.target.controller.quiesce_ms = world.target.late_writes ? 2000 : 0;
  world.options.timeout_action =
      world.random() % 2 == 0 ? TimeoutAction::kAbort : TimeoutAction::kReset;
  world.options.io_timeout = seconds(5);
  world.options.admin_timeout = seconds(3);
}

// No error, nothing lost, and back in service once the faults are over.
void expect_nothing_lost(World& world, const std::string& what) {
  world.run_for(seconds(60));  // every fault has ended by then
  EXPECT_TRUE(world.run_until(
      [&world] { return world.controller().state() == ControllerState::kLive; }, seconds(120)))
      << what << ": it is not live again: " << world.controller().status().step;
  world.drain(seconds(60));
  world.check_media();
  world.finish();
  EXPECT_EQ(world.errors(), 0u) << what;
  for (const std::string& problem : world.problems()) {
    ADD_FAILURE() << what << ": " << problem;
  }
}

// What a recovery shows when nothing disturbs it.
std::set<std::string> all_steps() {
  World world(1);
  world.options.io_timeout = seconds(5);
  world.target.late_writes = true;
  world.target.controller.quiesce_ms = 2000;
  world.target.controller.retry_delay_100ms = 5;
  world.target.controller.have_everything();
  world.start();
  world.on_step = [](const std::string&) {};
  world.run_for(seconds(1));
  world.target.drop_connections();
  world.run_for(seconds(30));
  world.on_step = nullptr;
  world.finish();
  return world.steps();
}

// Has `world` lose its connections, and be struck when the recovery comes to `step`; what it
// returns says whether it did.
std::shared_ptr<bool> recover_and_strike(World& world, const std::string& step,
                                         const NamedFault& fault) {
  auto struck = std::make_shared<bool>(false);
  world.on_step = [&world, struck, step, &fault](const std::string& now) {
    if (!*struck && now == step) {
      *struck = true;
      world.time.after(Duration::zero(), [&world, &fault] { fault.strike(world); });
    }
  };
  world.run_for(milliseconds(200));
  world.target.drop_connections();
  return struck;
}

TEST(RecoverySchedule, EveryFaultAtEveryStep) {
  const std::set<std::string> steps = all_steps();
  ASSERT_GT(steps.size(), 25u);
  EXPECT_TRUE(steps.contains("wait for the old connection's commands to end"));
  unsigned schedules = 0;
  for (const NamedFault& fault : kFaults) {
    for (const std::string& step : steps) {
      if (step.empty()) continue;
      schedules++;
      const std::string what = std::string(fault.name) + " at '" + step + "'";
      World world(schedules);
      set_up(world);
      world.target.controller.have_everything();
      world.start();
      recover_and_strike(world, step, fault);
      expect_nothing_lost(world, what);
      if (HasFailure()) return;
    }
  }
  std::cout << schedules << " schedules\n";
}

void run_random(std::uint64_t seed) {
  World world(seed);
  set_up(world);
  if (seed % 50 == 0) world.think = milliseconds(10);  // a load that leaves no pause
  world.start();
  const std::uint64_t faults = 1 + world.random() % 6;
  std::string what = "NVUBLK_SEED=" + std::to_string(seed) + ":";
  for (std::uint64_t i = 0; i < faults; i++) {
    const NamedFault& fault = kFaults[world.random() % kFaults.size()];
    const Duration at = some(world, 20000);
    what += std::string(" ") + fault.name + " after " +
            std::to_string(std::chrono::duration_cast<milliseconds>(at).count()) + " ms;";
    world.time.after(at, [&world, &fault] { fault.strike(world); });
  }
  world.run_for(seconds(20));
  expect_nothing_lost(world, what);
}

TEST(RecoverySchedule, RandomFaultsAtRandomTimes) {
  if (const std::uint64_t seed = from_environment("NVUBLK_SEED", 0); seed != 0) {
    run_random(seed);
    return;
  }
  const std::uint64_t schedules = from_environment("NVUBLK_SCHEDULES", 1000);
  for (std::uint64_t seed = 1; seed <= schedules; seed++) {
    run_random(seed);
    if (HasFailure()) return;
  }
  std::cout << schedules << " schedules\n";
}

// Errors come when the user's time is over: not before, and at once then.
void expect_errors_after(seconds loss, seconds fast_fail, seconds expected) {
  for (std::uint64_t seed = 1; seed <= 50; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    set_up(world);
    world.options.ctrl_loss_timeout = loss;
    world.options.fast_io_fail_timeout = fast_fail;
    world.options.reconnect_delay = seconds(1);
    world.start();
    world.run_for(some(world, 1000));
    world.target.faults.refuse = true;
    world.target.drop_connections();
    ASSERT_TRUE(world.run_until([&world] { return world.errors() > 0; }, seconds(60)));
    EXPECT_EQ(*world.first_error() - *world.lost_at(), Duration(expected));
    world.target.faults.refuse = false;
    world.run_for(seconds(30));
    EXPECT_EQ(world.ended(), fast_fail.count() < 0);
    world.drain(seconds(60));
    world.check_media();
    world.finish();
    for (const std::string& problem : world.problems()) ADD_FAILURE() << problem;
    if (testing::Test::HasFailure()) return;
  }
}

TEST(RecoverySchedule, WithCtrlLossTmoErrorsComeThen) {
  expect_errors_after(seconds(7), seconds(-1), seconds(7));
}

TEST(RecoverySchedule, WithFastIoFailTmoErrorsComeThenAndIoComesBack) {
  expect_errors_after(seconds(-1), seconds(3), seconds(3));
}

TEST(RecoverySchedule, ABlackHoleIsNoticedWithinTheKeepAliveTime) {
  for (std::uint64_t seed = 1; seed <= 50; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    world.options.io_timeout = seconds(600);
    world.start();
    world.run_for(some(world, 10000));
    const Instant began = world.time.now;
    world.target.faults.black_hole = true;
    ASSERT_TRUE(world.run_until([&world] { return world.lost_at().has_value(); }, seconds(60)));
    EXPECT_LE(*world.lost_at() - began, seconds(4) + milliseconds(10));
    world.target.end_black_hole();
    expect_nothing_lost(world, "black hole");
    if (HasFailure()) return;
  }
}

// Whatever the device is at: it can be taken away, within the time that is stated.
TEST(RecoverySchedule, DetachEndsWheneverItIsAskedFor) {
  constexpr std::uint64_t kSeeds = 200;
  for (std::uint64_t seed = 1; seed <= kSeeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    set_up(world);
    world.start();
    const NamedFault& fault = kFaults[seed % kFaults.size()];
    SCOPED_TRACE(fault.name);
    world.run_for(some(world, 1000));
    fault.strike(world);
    world.run_for(some(world, 10000));
    if (seed % 2 == 0) world.controller().fail_io(EIO);
    world.finish(seed % 2 == 0 ? seconds(1) : seconds(60));
    for (const std::string& problem : world.problems()) ADD_FAILURE() << problem;
    if (HasFailure()) return;
  }
}

// The controller goes on without the namespace, whose requests fail.
void expect_no_more_writes(World& world, const std::string& what) {
  const std::uint64_t writes = world.target.writes();
  world.run_for(seconds(60));
  EXPECT_EQ(world.controller().state(), ControllerState::kLive) << what;
  EXPECT_EQ(world.target.writes(), writes) << what;
  EXPECT_GT(world.errors(), 0u) << what;
  world.drain(seconds(60));
  world.finish();
  for (const std::string& problem : world.problems()) {
    ADD_FAILURE() << what << ": " << problem;
  }
}

TEST(RecoverySchedule, EveryLossAtEveryStep) {
  unsigned schedules = 0;
  for (const NamedFault& loss : kLosses) {
    for (const std::string& step : all_steps()) {
      if (step.empty()) continue;
      const std::string what = std::string(loss.name) + " at '" + step + "'";
      World world(++schedules);
      set_up(world);
      world.target.late_writes = false;
      world.target.controller.have_everything();
      world.start();
      const auto struck = recover_and_strike(world, step, loss);
      world.run_for(seconds(30));
      if (!*struck) loss.strike(world);
      expect_no_more_writes(world, what);
      if (HasFailure()) return;
    }
  }
}

TEST(RecoverySchedule, ALossAtAnyTime) {
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    World world(seed);
    world.start();
    world.run_for(some(world, 1000));
    const NamedFault& loss = kLosses[seed % kLosses.size()];
    loss.strike(world);
    expect_no_more_writes(world, loss.name + (", seed " + std::to_string(seed)));
    if (HasFailure()) return;
  }
}

TEST(RecoverySchedule, ADayWithAFaultEveryFewMinutes) {
  World world(from_environment("NVUBLK_SEED", 24));
  set_up(world);
  world.think = milliseconds(4000);
  world.start();
  unsigned faults = 0;
  const Instant end = world.time.now + std::chrono::hours(24);
  while (world.time.now < end) {
    world.run_for(some(world, 600000));
    kFaults[world.random() % kFaults.size()].strike(world);
    faults++;
  }
  std::cout << faults << " faults, " << world.completed() << " requests\n";
  expect_nothing_lost(world, "a day");
  EXPECT_GT(world.completed(), 200000u);
}

}  // namespace
}  // namespace nvublk::nvme
