#pragma once

// Brings a ublk device from nothing to a block device that can be opened, or takes over one whose
// server died. Pure. [Documentation/block/ublk.rst]
//
//   open the control device; GET_FEATURES
//   new:      ADD_DEV; SET_PARAMS          taken over: GET_DEV_INFO; GET_PARAMS;
//                                                      START_USER_RECOVERY
//   open /dev/ublkcN; map the queues; FETCH every tag
//   new:      START_DEV                    taken over: END_USER_RECOVERY
//   wait until /dev/ublkbN can be opened

#include <span>

#include "engine/block.h"
#include "engine/step_machine.h"
#include "ublk/device_mark.h"
#include "ublk/device_step.h"
#include "ublk/device_stop.h"
#include "ublk/features.h"

namespace nvublk::ublk {

class DeviceStart : public StepMachine<DeviceStart, DeviceAction, DeviceOutcome> {
 public:
  struct Plan {
    BlockGeometry geometry;
    bool read_only = false;
    int id = -1;  ///< -1: any
    std::uint16_t queues = 1;
    std::uint16_t depth = 128;
    DeviceMark mark;          ///< of a new device
    bool take_over = false;   ///< recover device `id` instead of making one
    bool check_mark = false;  ///< refuse to take over a device without `mark`
    std::int32_t server_pid = 0;
  };

  explicit DeviceStart(const Plan& plan) : plan_(plan) {}

  std::span<const Row> rows() const;

  /// What takes back whatever has been done so far.
  DeviceStop::Plan undo() const;
  /// What the driver made of our wishes; dev_id is kAnyDevice until there is a device.
  const abi::DeviceInfo& info() const { return info_; }
  Features features() const { return features_; }

 private:
  using Payload = std::optional<DeviceAction>;

  Payload open_control();
  Payload get_features();
  Payload add();
  Payload set_params();
  Payload get_info();
  Payload get_params();
  Payload start_recovery();
  Payload open_server_node();
  Payload make_queues();
  Payload fetch();
  Payload start_device();
  Payload end_recovery();
  Payload try_block_node();

  StepNext go_on(const DeviceOutcome& outcome);
  StepNext keep_features(const DeviceOutcome& outcome);
  StepNext keep_added(const DeviceOutcome& outcome);
  StepNext after_params(const DeviceOutcome& outcome);
  StepNext keep_info(const DeviceOutcome& outcome);
  StepNext compare_params(const DeviceOutcome& outcome);
  StepNext after_start_recovery(const DeviceOutcome& outcome);
  StepNext after_server_node(const DeviceOutcome& outcome);
  StepNext after_start(const DeviceOutcome& outcome);
  StepNext after_end_recovery(const DeviceOutcome& outcome);
  StepNext after_block_node(const DeviceOutcome& outcome);

  Duration short_limit() const { return seconds(5); }
  Duration load_limit() const { return seconds(15); }
  Duration node_limit() const { return seconds(10); }
  Duration driver_limit() const { return seconds(30); }

  DeviceAction control(const ControlRequest& request) const;

  Plan plan_;
  Features features_;
  abi::Params params_{};
  abi::DeviceInfo info_{};
  bool added_ = false;    ///< we have made the device
  bool offered_ = false;  ///< the kernel may have tags of ours
};

}  // namespace nvublk::ublk
