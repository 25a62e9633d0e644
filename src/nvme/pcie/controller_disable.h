#pragma once

// Takes a controller out of service, whoever used it before: CC.EN cleared, CSTS.RDY awaited. After
// it no queue exists and the controller touches no memory of ours. Pure. [Base 2.1 §3.5.1]

#include <optional>
#include <span>

#include "engine/step_machine.h"
#include "nvme/control_action.h"
#include "nvme/spec/properties.h"

namespace nvublk::nvme::pcie {

class ControllerDisable : public StepMachine<ControllerDisable, ControlAction, ControlOutcome> {
 public:
  /// `leaving`: that the device is gone is success.
  explicit ControllerDisable(bool leaving) : leaving_(leaving) {}

  static std::span<const Row> rows();
  spec::Cap cap() const { return cap_; }

 private:
  Duration register_limit() const { return seconds(5); }
  Duration ready_limit() const;
  std::optional<ControlAction> get_cap();
  StepNext keep_cap(const ControlOutcome& outcome);
  std::optional<ControlAction> get_cc();
  StepNext keep_cc(const ControlOutcome& outcome);
  std::optional<ControlAction> disable();
  StepNext next(const ControlOutcome& outcome);
  std::optional<ControlAction> get_csts();
  StepNext until_not_ready(const ControlOutcome& outcome);
  StepNext gone() const;

  const bool leaving_;
  spec::Cap cap_;
  spec::Cc cc_;
};

}  // namespace nvublk::nvme::pcie
