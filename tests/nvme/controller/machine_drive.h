#pragma once

// Drives the machines of a controller with the answers of a well-behaved one, without any clock.

#include <functional>

#include <gtest/gtest.h>

#include "nvme/controller/perfect_controller.h"
#include "nvme/controller_init.h"

namespace nvublk::nvme {

inline ControllerOptions test_options() {
  ControllerOptions options;
  options.host.nqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001";
  return options;
}

// Feeds a machine with a controller's answers until it ends, or until `stop` says so.
template <typename Machine>
struct Drive {
  using Action = StepAction<ControlAction>;
  using Event = StepEvent<ControlOutcome>;

  Machine& machine;
  PerfectController controller;
  Instant now{};
  Action action{};

  // True if the machine is still running and waits for an outcome in a step for which `stop` holds.
  bool run_until(const std::function<bool(const Machine&)>& stop) {
    action = machine.start(now);
    for (int turns = 0; turns < 10000; turns++) {
      if (action.kind == Action::Kind::kDone || action.kind == Action::Kind::kFailed) return false;
      if (action.kind == Action::Kind::kSleep) {
        now = action.until;
        action = machine.advance(Event::woke(), now);
        continue;
      }
      if (stop(machine)) return true;
      action = machine.advance(Event::of(controller.answer(action.payload)), now);
    }
    ADD_FAILURE() << "the machine does not end; it is at " << machine.step_name();
    return false;
  }
};

}  // namespace nvublk::nvme
