#include "ublk/device_start.h"

#include <cerrno>
#include <cstring>
#include <string>

#include "ublk/explain.h"
#include "ublk/params.h"

namespace nvublk::ublk {

namespace {

constexpr const char* kSpec = "Documentation/block/ublk.rst";
// How often a node that udev or devtmpfs is about to make is looked for.
constexpr Duration kNodePoll = milliseconds(10);
// How often the kernel is asked whether it is through with a server that died.
constexpr Duration kRecoveryPoll = milliseconds(20);

/// A device node that is not there yet, or that udev has not given its permissions yet.
bool may_come(std::int32_t result) {
  return result == -ENOENT || result == -ENXIO || result == -ENODEV || result == -EACCES ||
         result == -EPERM || result == -EBUSY;
}

}  // namespace

std::span<const DeviceStart::Row> DeviceStart::rows() const {
  using S = DeviceStart;
  static constexpr Row kRows[] = {
      {"open /dev/ublk-control", kSpec, &S::load_limit, &S::open_control, &S::go_on},
      {"ask for the ublk features", kSpec, &S::short_limit, &S::get_features, &S::keep_features},
      {"add the ublk device", kSpec, &S::driver_limit, &S::add, &S::keep_added},
      {"set the parameters", kSpec, &S::short_limit, &S::set_params, &S::after_params},
      {"wait until the old server is gone", kSpec, &S::node_limit, &S::get_info, &S::keep_info},
      {"compare the parameters", kSpec, &S::short_limit, &S::get_params, &S::compare_params},
      {"begin user recovery", kSpec, &S::driver_limit, &S::start_recovery,
       &S::after_start_recovery},
      {"open /dev/ublkcN", kSpec, &S::node_limit, &S::open_server_node, &S::after_server_node},
      {"set up the queues", kSpec, &S::driver_limit, &S::make_queues, &S::go_on},
      {"offer the tags", kSpec, &S::driver_limit, &S::fetch, &S::go_on},
      {"start the ublk device", kSpec, &S::driver_limit, &S::start_device, &S::after_start},
      {"end user recovery", kSpec, &S::driver_limit, &S::end_recovery, &S::after_end_recovery},
      {"wait for /dev/ublkbN", kSpec, &S::node_limit, &S::try_block_node, &S::after_block_node},
  };
  return kRows;
}

DeviceStop::Plan DeviceStart::undo() const {
  DeviceStop::Plan plan;
  plan.device = info_.dev_id;
  plan.force = true;
  // A device that was to be taken over stays for the next try, unless the kernel has our tags:
  // there is no other way to get them back.
  plan.keep_device = !added_ && !offered_;
  return plan;
}

DeviceAction DeviceStart::control(const ControlRequest& request) const {
  DeviceAction action;
  action.kind = DeviceAction::Kind::kControl;
  action.request = request;
  action.device = info_.dev_id;
  return action;
}

StepNext DeviceStart::go_on(const DeviceOutcome&) {
  return StepNext::next();
}

DeviceStart::Payload DeviceStart::open_control() {
  DeviceAction action;
  action.kind = DeviceAction::Kind::kOpenControl;
  return action;
}

DeviceStart::Payload DeviceStart::get_features() {
  return control(features_request());
}

StepNext DeviceStart::keep_features(const DeviceOutcome& outcome) {
  if (outcome.result < 0) {
    return StepNext::fail(explain_features(-outcome.result));
  }
  features_.bits = outcome.request.get<std::uint64_t>();
  if (!features_.has(abi::kFeatureCmdIoctlEncode)) {
    return StepNext::fail(Error::make(ErrorCode::kUnsupported,
                                      "this kernel's ublk driver is too old; use Linux 6.5 or "
                                      "later, or --frontend fuse"));
  }
  if (plan_.geometry.zones.zone_blocks != 0 && !plan_.take_over &&
      !features_.has(abi::kFeatureZoned | abi::kFeatureUserCopy)) {
    return StepNext::fail(Error::make(ErrorCode::kUnsupported,
                                      "the namespace is zoned, and this kernel's ublk has no zoned "
                                      "devices; Linux 6.6 or later with CONFIG_BLK_DEV_ZONED has"));
  }
  return StepNext::next();
}

DeviceStart::Payload DeviceStart::add() {
  if (plan_.take_over) {
    return std::nullopt;
  }
  info_ = {};
  info_.nr_hw_queues = plan_.queues;
  info_.queue_depth = plan_.depth;
  info_.max_io_buf_bytes = io_buffer_bytes(plan_.geometry, unsigned{plan_.queues} * plan_.depth);
  info_.dev_id = plan_.id < 0 ? abi::kAnyDevice : static_cast<std::uint32_t>(plan_.id);
  info_.ublksrv_pid = plan_.server_pid;
  info_.ublksrv_flags = plan_.mark.flags();
  info_.flags = abi::kFeatureCmdIoctlEncode;
  // The device shall outlive this process: its requests wait for the next one.
  constexpr std::uint64_t kRecovery = abi::kFeatureUserRecovery | abi::kFeatureUserRecoveryReissue;
  if (features_.has(kRecovery)) {
    info_.flags |= kRecovery;
    info_.flags |= features_.bits & abi::kFeatureQuiesce;
  }
  if (plan_.geometry.zones.zone_blocks != 0) {
    // The kernel looks at the zones once, when the device starts: its size stays.
    info_.flags |= abi::kFeatureZoned | abi::kFeatureUserCopy;
  } else {
    info_.flags |= features_.bits & abi::kFeatureUpdateSize;
  }
  return control(add_request(info_));
}

StepNext DeviceStart::keep_added(const DeviceOutcome& outcome) {
  if (outcome.result < 0) {
    return StepNext::fail(explain_add(-outcome.result, plan_.id));
  }
  info_ = outcome.request.get<abi::DeviceInfo>();
  added_ = true;
  if (info_.nr_hw_queues == 0 || info_.nr_hw_queues > plan_.queues ||
      info_.queue_depth != plan_.depth) {
    return StepNext::fail(Error::make(ErrorCode::kProtocol,
                                      "the ublk driver made a device of another shape than asked "
                                      "for"));
  }
  return StepNext::next();
}

DeviceStart::Payload DeviceStart::set_params() {
  if (plan_.take_over) {
    return std::nullopt;
  }
  const auto params = make_params(plan_.geometry, plan_.read_only, info_.max_io_buf_bytes);
  // The export has refused such a geometry before it began.
  CHECK(params.has_value());
  params_ = *params;
  return control(params_request(info_.dev_id, params_));
}

StepNext DeviceStart::after_params(const DeviceOutcome& outcome) {
  if (outcome.result < 0) {
    return StepNext::fail(explain_params(-outcome.result, params_));
  }
  return StepNext::next();
}

DeviceStart::Payload DeviceStart::get_info() {
  if (!plan_.take_over) {
    return std::nullopt;
  }
  info_.dev_id = static_cast<std::uint32_t>(plan_.id);
  return control(info_request(info_.dev_id));
}

StepNext DeviceStart::keep_info(const DeviceOutcome& outcome) {
  if (outcome.result < 0) {
    return StepNext::fail(explain_recovery(-outcome.result, info_.dev_id));
  }
  info_ = outcome.request.get<abi::DeviceInfo>();
  if (plan_.check_mark && info_.ublksrv_flags != plan_.mark.flags()) {
    return StepNext::fail(
        Error::make(ErrorCode::kNotFound, "/dev/ublkb" + std::to_string(info_.dev_id) +
                                              " is another device now than the one to be resumed"));
  }
  if (info_.state == abi::kStateLive) {
    return StepNext::repeat(kRecoveryPoll);
  }
  if (info_.nr_hw_queues == 0 || info_.queue_depth == 0 || info_.max_io_buf_bytes == 0) {
    return StepNext::fail(Error::make(ErrorCode::kProtocol,
                                      "the ublk driver describes an "
                                      "impossible device"));
  }
  return StepNext::next();
}

DeviceStart::Payload DeviceStart::get_params() {
  if (!plan_.take_over) {
    return std::nullopt;
  }
  return control(get_params_request(info_.dev_id));
}

// The kernel goes on to send what it was once told that the device can do.
StepNext DeviceStart::compare_params(const DeviceOutcome& outcome) {
  if (outcome.result < 0) {
    return StepNext::fail(explain_recovery(-outcome.result, info_.dev_id));
  }
  const auto params = make_params(plan_.geometry, plan_.read_only, info_.max_io_buf_bytes);
  if (!params) {
    return StepNext::fail(params.error());
  }
  if (Status fits = check_compatible(outcome.request.get<abi::Params>(), *params); !fits) {
    return StepNext::fail(std::move(fits.error()));
  }
  return StepNext::next();
}

DeviceStart::Payload DeviceStart::start_recovery() {
  if (!plan_.take_over) {
    return std::nullopt;
  }
  return control(device_request(abi::kStartUserRecovery, info_.dev_id));
}

StepNext DeviceStart::after_start_recovery(const DeviceOutcome& outcome) {
  // EBUSY until the kernel has taken everything back from the server that died.
  if (outcome.result == -EBUSY) {
    return StepNext::repeat(kRecoveryPoll);
  }
  if (outcome.result < 0) {
    return StepNext::fail(explain_recovery(-outcome.result, info_.dev_id));
  }
  return StepNext::next();
}

DeviceStart::Payload DeviceStart::open_server_node() {
  DeviceAction action;
  action.kind = DeviceAction::Kind::kOpenServerNode;
  action.device = info_.dev_id;
  return action;
}

StepNext DeviceStart::after_server_node(const DeviceOutcome& outcome) {
  if (may_come(outcome.result)) {
    return StepNext::repeat(kNodePoll);
  }
  if (outcome.result < 0) {
    return StepNext::fail(Error::from_errno(
        -outcome.result, "cannot open /dev/ublkc" + std::to_string(info_.dev_id)));
  }
  return StepNext::next();
}

DeviceStart::Payload DeviceStart::make_queues() {
  DeviceAction action;
  action.kind = DeviceAction::Kind::kMakeQueues;
  action.device = info_.dev_id;
  action.queues = info_.nr_hw_queues;
  action.depth = info_.queue_depth;
  action.buffer_bytes = info_.max_io_buf_bytes;
  action.user_copy = Features{info_.flags}.has(abi::kFeatureUserCopy);
  return action;
}

DeviceStart::Payload DeviceStart::fetch() {
  offered_ = true;
  DeviceAction action;
  action.kind = DeviceAction::Kind::kFetch;
  return action;
}

DeviceStart::Payload DeviceStart::start_device() {
  if (plan_.take_over) {
    return std::nullopt;
  }
  return control(
      device_request(abi::kStartDev, info_.dev_id, static_cast<std::uint64_t>(plan_.server_pid)));
}

StepNext DeviceStart::after_start(const DeviceOutcome& outcome) {
  if (outcome.result < 0) {
    return StepNext::fail(explain_start(-outcome.result));
  }
  return StepNext::next();
}

DeviceStart::Payload DeviceStart::end_recovery() {
  if (!plan_.take_over) {
    return std::nullopt;
  }
  return control(device_request(abi::kEndUserRecovery, info_.dev_id,
                                static_cast<std::uint64_t>(plan_.server_pid)));
}

StepNext DeviceStart::after_end_recovery(const DeviceOutcome& outcome) {
  if (outcome.result < 0) {
    return StepNext::fail(explain_recovery(-outcome.result, info_.dev_id));
  }
  return StepNext::next();
}

DeviceStart::Payload DeviceStart::try_block_node() {
  DeviceAction action;
  action.kind = DeviceAction::Kind::kTryBlockNode;
  action.device = info_.dev_id;
  return action;
}

StepNext DeviceStart::after_block_node(const DeviceOutcome& outcome) {
  if (may_come(outcome.result)) {
    return StepNext::repeat(kNodePoll);
  }
  if (outcome.result < 0) {
    return StepNext::fail(Error::from_errno(
        -outcome.result, "cannot open /dev/ublkb" + std::to_string(info_.dev_id)));
  }
  return StepNext::next();
}

}  // namespace nvublk::ublk
