#include "ublk/device_stop.h"

#include <cerrno>

#include "ublk/explain.h"

namespace nvublk::ublk {

namespace {

constexpr const char* kSpec = "Documentation/block/ublk.rst";

}  // namespace

std::span<const DeviceStop::Row> DeviceStop::rows() const {
  using S = DeviceStop;
  static constexpr Row kRows[] = {
      {"look who uses the device", kSpec, &S::driver_limit, &S::check_unused, &S::go_on},
      {"stop the unused device", kSpec, &S::back_end_limit, &S::try_stop, &S::after_try_stop},
      {"refuse new requests", kSpec, &S::short_limit, &S::refuse_requests, &S::go_on},
      {"end the command under way", kSpec, &S::wind_up_limit, &S::wind_up, &S::go_on},
      {"stop the device", kSpec, &S::back_end_limit, &S::stop, &S::after_stop},
      {"take the tags back", kSpec, &S::back_end_limit, &S::take_back, &S::go_on},
      {"close /dev/ublkcN", kSpec, &S::short_limit, &S::close_server_node, &S::go_on},
      {"delete the device", kSpec, &S::driver_limit, &S::delete_device, &S::after_delete},
      {"wait until the id is free", kSpec, &S::gone_limit, &S::look_for_device, &S::until_gone},
  };
  return kRows;
}

DeviceAction DeviceStop::simple(DeviceAction::Kind kind) const {
  DeviceAction action;
  action.kind = kind;
  action.device = plan_.device;
  return action;
}

DeviceAction DeviceStop::control(std::uint32_t command) const {
  DeviceAction action = simple(DeviceAction::Kind::kControl);
  action.request = device_request(command, plan_.device);
  return action;
}

StepNext DeviceStop::go_on(const DeviceOutcome&) {
  return StepNext::next();
}

DeviceStop::Payload DeviceStop::check_unused() {
  if (plan_.force || !plan_.live) {
    return std::nullopt;
  }
  return simple(DeviceAction::Kind::kCheckUnused);
}

DeviceStop::Payload DeviceStop::try_stop() {
  if (plan_.force || !plan_.live || !plan_.safe_stop) {
    return std::nullopt;
  }
  return control(abi::kTryStopDev);
}

StepNext DeviceStop::after_try_stop(const DeviceOutcome& outcome) {
  if (outcome.result == -EBUSY) {
    return StepNext::fail(explain_stop(EBUSY, name()));
  }
  // Anything else, also that there is no disk any more, is for STOP_DEV, which bears all states.
  return StepNext::next();
}

DeviceStop::Payload DeviceStop::refuse_requests() {
  touched_ = true;
  // Without force nobody uses it; what little comes (of udev) may still be answered.
  if (plan_.live && !plan_.force) {
    return std::nullopt;
  }
  return simple(DeviceAction::Kind::kRefuseRequests);
}

DeviceStop::Payload DeviceStop::wind_up() {
  // STOP_DEV may not overtake START_DEV: the device would then be started without its tags, and
  // whoever reads it would hang.
  return simple(DeviceAction::Kind::kWindUp);
}

DeviceStop::Payload DeviceStop::stop() {
  if (plan_.keep_device) {
    return std::nullopt;
  }
  return control(abi::kStopDev);
}

StepNext DeviceStop::after_stop(const DeviceOutcome& outcome) {
  if (outcome.result < 0 && outcome.result != -ENODEV) {
    return StepNext::fail(explain_stop(-outcome.result, name()));
  }
  return StepNext::next();
}

DeviceStop::Payload DeviceStop::take_back() {
  return simple(DeviceAction::Kind::kTakeBack);
}

DeviceStop::Payload DeviceStop::close_server_node() {
  return simple(DeviceAction::Kind::kCloseServerNode);
}

DeviceStop::Payload DeviceStop::delete_device() {
  if (plan_.keep_device) {
    return std::nullopt;
  }
  // The asynchronous one: the other waits for whoever has the block device open.
  return control(abi::kDelDevAsync);
}

StepNext DeviceStop::after_delete(const DeviceOutcome& outcome) {
  if (outcome.result < 0 && outcome.result != -ENODEV) {
    return StepNext::fail(Error::from_errno(-outcome.result, "cannot delete " + name()));
  }
  deleted_ = true;
  return StepNext::next();
}

DeviceStop::Payload DeviceStop::look_for_device() {
  if (plan_.keep_device) {
    return std::nullopt;
  }
  DeviceAction action = simple(DeviceAction::Kind::kControl);
  action.request = info_request(plan_.device);
  return action;
}

StepNext DeviceStop::until_gone(const DeviceOutcome& outcome) {
  if (outcome.result == -ENODEV) {
    return StepNext::done();
  }
  return StepNext::repeat(milliseconds(5));
}

}  // namespace nvublk::ublk
