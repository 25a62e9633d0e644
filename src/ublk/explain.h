#pragma once

// The requests that need more than a command number, and what to tell the user when the ublk driver
// refuses one. Pure.

#include <cstdint>
#include <string>

#include "engine/error.h"
#include "ublk/control.h"

namespace nvublk::ublk {

ControlRequest features_request();
ControlRequest add_request(const abi::DeviceInfo& info);
ControlRequest params_request(std::uint32_t device, const abi::Params& params);
ControlRequest get_params_request(std::uint32_t device);
ControlRequest info_request(std::uint32_t device);
/// A command with no more than a device and an argument.
ControlRequest device_request(std::uint32_t command, std::uint32_t device, std::uint64_t data = 0);

/// `error` is a positive errno.
Error explain_features(int error);
Error explain_add(int error, int wanted_id);
Error explain_params(int error, const abi::Params& params);
Error explain_start(int error);
Error explain_recovery(int error, std::uint32_t device);
Error explain_stop(int error, const std::string& device);

}  // namespace nvublk::ublk
