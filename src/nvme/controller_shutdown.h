#pragma once

// Orderly shutdown of a live controller: I/O queues closed, CC.SHN, CSTS.SHST awaited. Pure.
// [Base 2.1 §3.6]

#include <optional>
#include <span>

#include "engine/step_machine.h"
#include "nvme/control_action.h"
#include "nvme/spec/properties.h"

namespace nvublk::nvme {

class ControllerShutdown : public StepMachine<ControllerShutdown, ControlAction, ControlOutcome> {
 public:
  /// `shutdown_limit`: how long the shutdown itself may take; zero: RTD3E of Identify Controller,
  /// `rtd3e_us` (0 if not reported), within limits of ours. Without `reports_end` it is not waited
  /// for.
  ControllerShutdown(Duration command_limit, std::uint32_t rtd3e_us,
                     Duration shutdown_limit = Duration::zero(), bool reports_end = true);

  static std::span<const Row> rows();

 private:
  Duration command_limit() const { return command_limit_; }
  Duration shutdown_limit() const { return shutdown_limit_; }
  std::optional<ControlAction> disconnect_io_queues();
  StepNext next(const ControlOutcome& outcome);
  std::optional<ControlAction> get_cc();
  StepNext keep_cc(const ControlOutcome& outcome);
  std::optional<ControlAction> notify();
  std::optional<ControlAction> get_csts();
  StepNext until_complete(const ControlOutcome& outcome);

  Duration command_limit_;
  Duration shutdown_limit_;
  bool reports_end_;
  spec::Cc cc_{};
};

}  // namespace nvublk::nvme
