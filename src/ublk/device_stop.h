#pragma once

// Takes a ublk device away, in whatever state it is: after a failed start, in use, half gone. Pure.
// [Documentation/block/ublk.rst]
//
//   polite and live: nobody may use it; TRY_STOP_DEV where there is one
//   else: new requests fail; a START_DEV that is still under way ends
//   STOP_DEV; wait for the tags; close /dev/ublkcN; DEL_DEV_ASYNC; wait until the id is free

#include <span>
#include <string>

#include "engine/step_machine.h"
#include "ublk/device_step.h"

namespace nvublk::ublk {

class DeviceStop : public StepMachine<DeviceStop, DeviceAction, DeviceOutcome> {
 public:
  struct Plan {
    std::uint32_t device = 0;
    bool force = false;        ///< also while it is in use
    bool live = false;         ///< /dev/ublkbN exists
    bool safe_stop = false;    ///< the driver has TRY_STOP_DEV
    bool keep_device = false;  ///< only let go of it: it was never ours, or is not there
  };

  explicit DeviceStop(const Plan& plan) : plan_(plan) {}

  std::span<const Row> rows() const;

  /// The device was refused to be stopped and goes on as if nothing had happened.
  bool untouched() const { return !touched_; }
  /// All that is left of the device is its number, which somebody who has it open still holds.
  bool only_id_left() const { return deleted_; }

 private:
  using Payload = std::optional<DeviceAction>;

  Payload check_unused();
  Payload try_stop();
  Payload refuse_requests();
  Payload wind_up();
  Payload stop();
  Payload take_back();
  Payload close_server_node();
  Payload delete_device();
  Payload look_for_device();

  StepNext go_on(const DeviceOutcome& outcome);
  StepNext after_try_stop(const DeviceOutcome& outcome);
  StepNext after_stop(const DeviceOutcome& outcome);
  StepNext after_delete(const DeviceOutcome& outcome);
  StepNext until_gone(const DeviceOutcome& outcome);

  Duration short_limit() const { return seconds(10); }
  Duration driver_limit() const { return seconds(30); }
  /// What the back-end has not answered cannot be given up: it may still write into our buffers.
  Duration back_end_limit() const { return plan_.force ? std::chrono::hours(24 * 365) : kPolite; }
  /// A device that never had our tags has nothing of the back-end.
  Duration wind_up_limit() const { return plan_.keep_device ? driver_limit() : back_end_limit(); }
  Duration gone_limit() const { return seconds(2); }

  DeviceAction control(std::uint32_t command) const;
  DeviceAction simple(DeviceAction::Kind kind) const;
  std::string name() const { return "/dev/ublkb" + std::to_string(plan_.device); }

  static constexpr Duration kPolite = seconds(60);

  Plan plan_;
  bool touched_ = false;
  bool deleted_ = false;
};

}  // namespace nvublk::ublk
