// The sequences that start and stop a device, against a driver that does what it should and one
// that fails at any step in any way.

#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ublk/device_start.h"
#include "ublk/device_stop.h"
#include "ublk/params.h"

namespace nvublk::ublk {
namespace {

using Kind = DeviceAction::Kind;

BlockGeometry geometry() {
  BlockGeometry geometry;
  geometry.size_blocks = 1000;
  return geometry;
}

/// What the actions do to the world.
struct World {
  bool exists = false;
  bool started = false;
  bool quiesced = false;
  bool node_open = false;
  bool queues = false;
  bool tags_out = false;
  bool in_use = false;
  bool pending = false;  ///< a control command is still under way
  std::uint64_t features = ~0ULL;
  DeviceMark mark{1, 2};
  abi::Params params = *make_params(geometry(), false, 65536);  ///< the device was made with
  std::vector<std::uint32_t> commands;

  bool clean() const { return !exists && !started && !node_open && !queues && !tags_out; }

  DeviceOutcome perform(const DeviceAction& action) {
    switch (action.kind) {
      case Kind::kOpenControl:
      case Kind::kTryBlockNode:
      case Kind::kRefuseRequests:
        return DeviceOutcome::of(0);
      case Kind::kWindUp:
        pending = false;
        return DeviceOutcome::of(0);
      case Kind::kControl:
        EXPECT_FALSE(pending) << "a command overtakes another";
        return control(action.request);
      case Kind::kOpenServerNode:
        node_open = exists;
        return DeviceOutcome::of(exists ? 0 : -ENOENT);
      case Kind::kMakeQueues:
        EXPECT_TRUE(node_open);
        EXPECT_GT(action.queues * action.depth, 0);
        queues = true;
        return DeviceOutcome::of(0);
      case Kind::kFetch:
        EXPECT_TRUE(queues);
        tags_out = true;
        return DeviceOutcome::of(0);
      case Kind::kCheckUnused:
        return in_use ? DeviceOutcome::failed(Error::make(ErrorCode::kBusy, "in use"))
                      : DeviceOutcome::of(0);
      case Kind::kTakeBack:
        // Whoever waits for tags that the kernel keeps waits for ever.
        EXPECT_FALSE(tags_out);
        return DeviceOutcome::of(0);
      case Kind::kCloseServerNode:
        EXPECT_FALSE(tags_out);
        queues = node_open = false;
        return DeviceOutcome::of(0);
    }
    return DeviceOutcome::of(-ENOSYS);
  }

  DeviceOutcome control(const ControlRequest& request) {
    commands.push_back(request.command);
    DeviceOutcome outcome = DeviceOutcome::of(0);
    outcome.request = request;
    if (request.command == abi::kGetFeatures) {
      outcome.request.put(features);
    } else if (request.command == abi::kAddDev) {
      auto info = request.get<abi::DeviceInfo>();
      info.dev_id = 7;
      outcome.request.put(info);
      exists = true;
    } else if (!exists) {
      outcome.result = -ENODEV;
    } else if (request.command == abi::kGetDevInfo) {
      abi::DeviceInfo info{};
      info.dev_id = request.device;
      info.nr_hw_queues = 2;
      info.queue_depth = 16;
      info.max_io_buf_bytes = 65536;
      info.state = quiesced ? abi::kStateQuiesced : abi::kStateLive;
      info.ublksrv_flags = mark.flags();
      outcome.request.put(info);
    } else if (request.command == abi::kGetParams) {
      outcome.request.put(params, abi::kParamsLength);
    } else if (request.command == abi::kStartDev || request.command == abi::kEndUserRecovery) {
      EXPECT_TRUE(tags_out);
      started = true;
      quiesced = false;
    } else if (request.command == abi::kTryStopDev && in_use) {
      outcome.result = -EBUSY;
    } else if (request.command == abi::kStopDev || request.command == abi::kTryStopDev) {
      started = tags_out = false;
    } else if (request.command == abi::kDelDevAsync) {
      EXPECT_FALSE(started);
      exists = false;
    }
    return outcome;
  }
};

DeviceStart::Plan plan_of(bool take_over) {
  DeviceStart::Plan plan;
  plan.geometry = geometry();
  plan.mark = {1, 2};
  plan.check_mark = take_over;
  plan.id = take_over ? 7 : -1;
  plan.queues = 2;
  plan.depth = 16;
  plan.take_over = take_over;
  plan.server_pid = 1;
  return plan;
}

/// A world in which a device can be started, or taken over.
World world_for(bool take_over) {
  World world;
  world.exists = world.quiesced = take_over;
  return world;
}

/// Gives the event for the n-th action, or nothing for what the world answers.
using Fault = std::function<std::optional<DeviceStart::Event>(std::size_t n, const DeviceAction&)>;

template <typename Machine>
StepAction<DeviceAction>::Kind drive(Machine& machine, World& world, const Fault& fault = {}) {
  Instant now{};
  auto action = machine.start(now);
  for (std::size_t n = 0; n < 100'000; n++) {
    now += milliseconds(1);
    if (action.kind == decltype(action)::Kind::kSleep) {
      now = action.until;
      action = machine.advance(
          now >= action.deadline ? Machine::Event::deadline() : Machine::Event::woke(), now);
      continue;
    }
    if (action.kind != decltype(action)::Kind::kPerform) {
      return action.kind;
    }
    std::optional<typename Machine::Event> event;
    if (fault) {
      event = fault(n, action.payload);
    }
    if (!event) {
      event = Machine::Event::of(world.perform(action.payload));
    }
    action = machine.advance(*event, now);
  }
  ADD_FAILURE() << "it never ends, at " << machine.step_name();
  return action.kind;
}

using ActionKind = StepAction<DeviceAction>::Kind;

TEST(DeviceStart, MakesADeviceAndStopTakesItAway) {
  World world = world_for(false);
  DeviceStart start(plan_of(false));
  EXPECT_EQ(drive(start, world), ActionKind::kDone);
  EXPECT_TRUE(world.started);
  EXPECT_EQ(start.info().dev_id, 7U);
  EXPECT_TRUE(Features{start.info().flags}.has(abi::kFeatureUserRecoveryReissue));
  EXPECT_EQ(DeviceMark::read(start.info().ublksrv_flags), (DeviceMark{1, 2}));
  DeviceStop stop({.device = 7, .live = true, .safe_stop = true});
  EXPECT_EQ(drive(stop, world), ActionKind::kDone);
  EXPECT_TRUE(world.clean());
}

TEST(DeviceStart, TakesOverAQuiescedDevice) {
  World world = world_for(true);
  DeviceStart start(plan_of(true));
  EXPECT_EQ(drive(start, world), ActionKind::kDone);
  EXPECT_TRUE(world.started);
  EXPECT_EQ(start.info().nr_hw_queues, 2);
  EXPECT_EQ(std::count(world.commands.begin(), world.commands.end(), abi::kAddDev), 0);
  EXPECT_EQ(std::count(world.commands.begin(), world.commands.end(), abi::kStartDev), 0);
}

TEST(DeviceStart, TakesOverOnlyTheDeviceWithItsMark) {
  World world = world_for(true);
  world.mark.key = 3;
  DeviceStart start(plan_of(true));
  EXPECT_EQ(drive(start, world), ActionKind::kFailed);
  EXPECT_EQ(start.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(start.undo().keep_device);
  EXPECT_EQ(std::count(world.commands.begin(), world.commands.end(), abi::kStartUserRecovery), 0);
}

TEST(DeviceStart, TakesOverNoDeviceThatWasMadeForMore) {
  World world = world_for(true);
  world.params.basic.max_sectors = 4096;
  DeviceStart start(plan_of(true));
  EXPECT_EQ(drive(start, world), ActionKind::kFailed);
  EXPECT_EQ(start.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(start.error().step, "compare the parameters");
  EXPECT_TRUE(start.undo().keep_device);
}

TEST(DeviceMark, IsReadAsItWasMade) {
  for (const DeviceMark mark : {DeviceMark{0, 1}, DeviceMark{0xffff, 0xffff}, DeviceMark{1, 2}}) {
    EXPECT_EQ(DeviceMark::read(mark.flags()), mark);
  }
  EXPECT_FALSE(DeviceMark::read(0).has_value());
  EXPECT_FALSE(DeviceMark::read(DeviceMark{1, 2}.flags() ^ 1).has_value());
  EXPECT_NE(owner_of("/run/nvublk"), owner_of("/run/nvublk-second"));
  EXPECT_EQ(owner_of("/run/nvublk"), owner_of("/run/nvublk"));
  EXPECT_NE(make_key(), 0);
}

TEST(DeviceStart, AsksOnlyForWhatTheDriverOffers) {
  World world = world_for(false);
  world.features = abi::kFeatureCmdIoctlEncode | abi::kFeatureUserRecovery | abi::kFeatureQuiesce;
  DeviceStart start(plan_of(false));
  EXPECT_EQ(drive(start, world), ActionKind::kDone);
  EXPECT_EQ(start.info().flags, abi::kFeatureCmdIoctlEncode);

  world = world_for(false);
  world.features = 0;
  DeviceStart old(plan_of(false));
  EXPECT_EQ(drive(old, world), ActionKind::kFailed);
  EXPECT_EQ(old.error().code, ErrorCode::kUnsupported);
}

TEST(DeviceStart, AZonedDeviceNeedsADriverThatHasThem) {
  DeviceStart::Plan plan = plan_of(false);
  plan.geometry.zones = {.zone_blocks = 64, .max_append_bytes = 65536};
  World world = world_for(false);
  DeviceStart start(plan);
  EXPECT_EQ(drive(start, world), ActionKind::kDone);
  const Features features{start.info().flags};
  EXPECT_TRUE(features.has(abi::kFeatureZoned | abi::kFeatureUserCopy));
  EXPECT_FALSE(features.has(abi::kFeatureUpdateSize));

  world = world_for(false);
  world.features &= ~abi::kFeatureZoned;
  DeviceStart refused(plan);
  EXPECT_EQ(drive(refused, world), ActionKind::kFailed);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(refused.error().text.find("CONFIG_BLK_DEV_ZONED"), std::string::npos);
  EXPECT_TRUE(world.clean());
}

struct NamedFault {
  std::string name;
  std::function<DeviceStart::Event(const DeviceAction&)> make;
};

std::vector<NamedFault> faults() {
  std::vector<NamedFault> all{
      {"disconnect",
       [](const DeviceAction&) {
         return DeviceStart::Event::disconnected(Error::make(ErrorCode::kSystem, "gone"));
       }},
      {"deadline", [](const DeviceAction&) { return DeviceStart::Event::deadline(); }},
      {"error",
       [](const DeviceAction&) {
         return DeviceStart::Event::of(
             DeviceOutcome::failed(Error::make(ErrorCode::kSystem, "no")));
       }},
  };
  for (const int error : {EPERM, EIO, EINVAL, ENOMEM, EEXIST, EOPNOTSUPP, EBUSY, ENODEV, EINTR}) {
    all.push_back({std::to_string(error), [error](const DeviceAction&) {
                     return DeviceStart::Event::of(DeviceOutcome::of(-error));
                   }});
  }
  return all;
}

bool answers_with_errno(Kind kind) {
  return kind == Kind::kControl || kind == Kind::kOpenServerNode || kind == Kind::kTryBlockNode;
}

class StartFault : public testing::TestWithParam<bool> {};

TEST_P(StartFault, FailsClosedAtEveryStepAndLeavesNothing) {
  const bool take_over = GetParam();
  std::size_t steps = 0;
  {
    World world = world_for(take_over);
    DeviceStart start(plan_of(take_over));
    drive(start, world, [&](std::size_t n, const DeviceAction&) {
      steps = n + 1;
      return std::nullopt;
    });
  }
  ASSERT_GE(steps, 9U);
  for (std::size_t step = 0; step < steps; step++) {
    for (const NamedFault& fault : faults()) {
      World world = world_for(take_over);
      DeviceStart start(plan_of(take_over));
      std::string hit;
      bool applies = true;
      const auto kind = drive(
          start, world,
          [&](std::size_t n, const DeviceAction& action) -> std::optional<DeviceStart::Event> {
            // Repeats of the step (an errno that may pass) get the same answer for ever.
            if (n < step || (n > step && hit != start.step_name())) {
              return std::nullopt;
            }
            hit = start.step_name();
            const DeviceStart::Event event = fault.make(action);
            applies = event.outcome.result == 0 || answers_with_errno(action.kind);
            return applies ? std::optional(event) : std::nullopt;
          });
      if (!applies) {
        continue;
      }
      SCOPED_TRACE(hit + " / " + fault.name);
      ASSERT_EQ(kind, ActionKind::kFailed);
      EXPECT_EQ(start.error().step, hit);
      EXPECT_FALSE(start.error().text.empty());
      // Whether the kernel got them is unknown when the very step that offers them fails.
      const bool offered = world.tags_out || hit == "offer the tags";
      DeviceStop undo(start.undo());
      EXPECT_EQ(drive(undo, world), ActionKind::kDone);
      if (take_over && !offered) {
        EXPECT_TRUE(world.exists && world.quiesced && !world.node_open && !world.queues);
      } else {
        EXPECT_TRUE(world.clean());
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(NewAndTakenOver, StartFault, testing::Bool());

TEST(DeviceStart, RefusesADeviceOfAnotherShape) {
  for (const auto& spoil : std::vector<std::function<void(abi::DeviceInfo&)>>{
           [](abi::DeviceInfo& info) { info.nr_hw_queues = 0; },
           [](abi::DeviceInfo& info) { info.nr_hw_queues = 3; },
           [](abi::DeviceInfo& info) { info.queue_depth = 0xffff; }}) {
    World world = world_for(false);
    DeviceStart start(plan_of(false));
    drive(start, world,
          [&](std::size_t, const DeviceAction& action) -> std::optional<DeviceStart::Event> {
            if (action.kind != Kind::kControl || action.request.command != abi::kAddDev) {
              return std::nullopt;
            }
            DeviceOutcome outcome = world.perform(action);
            auto info = outcome.request.get<abi::DeviceInfo>();
            spoil(info);
            outcome.request.put(info);
            return DeviceStart::Event::of(std::move(outcome));
          });
    ASSERT_TRUE(start.failed());
    EXPECT_EQ(start.error().code, ErrorCode::kProtocol);
    DeviceStop undo(start.undo());
    EXPECT_EQ(drive(undo, world), ActionKind::kDone);
    EXPECT_TRUE(world.clean());
  }
}

World running_world() {
  World world;
  world.exists = world.started = world.node_open = world.queues = world.tags_out = true;
  return world;
}

TEST(DeviceStop, RefusesADeviceInUseAndTouchesNothing) {
  for (const bool safe_stop : {false, true}) {
    World world = running_world();
    world.in_use = true;
    DeviceStop stop({.device = 7, .live = true, .safe_stop = safe_stop});
    EXPECT_EQ(drive(stop, world), ActionKind::kFailed);
    EXPECT_EQ(stop.error().code, ErrorCode::kBusy);
    EXPECT_TRUE(stop.untouched());
    EXPECT_TRUE(world.started && world.tags_out);
  }
}

TEST(DeviceStop, WhoeverOpensItAfterTheLookIsFoundByTheDriver) {
  World world = running_world();
  DeviceStop stop({.device = 7, .live = true, .safe_stop = true});
  drive(stop, world,
        [&](std::size_t, const DeviceAction& action) -> std::optional<DeviceStop::Event> {
          world.in_use = action.kind == Kind::kControl;
          return std::nullopt;
        });
  ASSERT_TRUE(stop.failed());
  EXPECT_EQ(stop.error().code, ErrorCode::kBusy);
  EXPECT_TRUE(stop.untouched());
}

TEST(DeviceStop, ForceAlwaysEnds) {
  World world = running_world();
  world.in_use = true;
  DeviceStop stop({.device = 7, .force = true, .live = true, .safe_stop = true});
  EXPECT_EQ(drive(stop, world), ActionKind::kDone);
  EXPECT_TRUE(world.clean());
}

TEST(DeviceStop, ADeviceThatSomebodyElseDeletedIsLetGo) {
  World world = running_world();
  world.exists = world.started = world.tags_out = false;
  DeviceStop stop({.device = 7, .live = true, .safe_stop = true});
  EXPECT_EQ(drive(stop, world), ActionKind::kDone);
  EXPECT_TRUE(world.clean());
}

TEST(DeviceStop, AnIdThatStaysTakenIsNoFailureOfTheDevice) {
  World world = running_world();
  DeviceStop stop({.device = 7, .force = true, .live = true});
  const auto kind =
      drive(stop, world,
            [&](std::size_t, const DeviceAction& action) -> std::optional<DeviceStop::Event> {
              if (action.kind == Kind::kControl && action.request.command == abi::kGetDevInfo) {
                return DeviceStop::Event::of(DeviceOutcome::of(0));
              }
              return std::nullopt;
            });
  EXPECT_EQ(kind, ActionKind::kFailed);
  EXPECT_TRUE(stop.only_id_left());
  EXPECT_TRUE(world.clean());
}

TEST(DeviceStop, AFaultAtAnyStepCanBeTriedAgain) {
  for (std::size_t step = 0; step < 9; step++) {
    for (const NamedFault& fault : faults()) {
      // Not ENODEV: a driver that says so has given the tags back before.
      if (fault.name == std::to_string(ENODEV)) {
        continue;
      }
      World world = running_world();
      const DeviceStop::Plan plan{.device = 7, .force = true, .live = true};
      DeviceStop stop(plan);
      drive(stop, world,
            [&](std::size_t n, const DeviceAction& action) -> std::optional<DeviceStop::Event> {
              const DeviceStop::Event event = fault.make(action);
              const bool applies = event.outcome.result == 0 || action.kind == Kind::kControl;
              return n == step && applies ? std::optional(event) : std::nullopt;
            });
      if (stop.failed() && !stop.only_id_left()) {
        EXPECT_FALSE(stop.error().step.empty());
        DeviceStop again(plan);
        EXPECT_EQ(drive(again, world), ActionKind::kDone) << step << " " << fault.name;
      }
      EXPECT_FALSE(world.started || world.node_open || world.queues) << step << " " << fault.name;
    }
  }
}

}  // namespace
}  // namespace nvublk::ublk
