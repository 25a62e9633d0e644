#include "ublk/explain.h"

#include <cerrno>

namespace nvublk::ublk {

ControlRequest device_request(std::uint32_t command, std::uint32_t device, std::uint64_t data) {
  ControlRequest request;
  request.command = command;
  request.device = device;
  request.data = data;
  return request;
}

ControlRequest features_request() {
  ControlRequest request = device_request(abi::kGetFeatures, abi::kAnyDevice);
  request.put(std::uint64_t{0});
  return request;
}

ControlRequest add_request(const abi::DeviceInfo& info) {
  ControlRequest request = device_request(abi::kAddDev, info.dev_id);
  request.put(info);
  return request;
}

ControlRequest params_request(std::uint32_t device, const abi::Params& params) {
  ControlRequest request = device_request(abi::kSetParams, device);
  request.put(params, params.len);
  return request;
}

ControlRequest get_params_request(std::uint32_t device) {
  ControlRequest request = device_request(abi::kGetParams, device);
  abi::Params params{};
  params.len = abi::kZonedParamsLength;  // drivers without zones tell less
  request.put(params, params.len);
  return request;
}

ControlRequest info_request(std::uint32_t device) {
  ControlRequest request = device_request(abi::kGetDevInfo, device);
  request.put(abi::DeviceInfo{});
  return request;
}

Error explain_features(int error) {
  if (error == EOPNOTSUPP || error == EINVAL) {
    return Error::make(ErrorCode::kUnsupported,
                       "this kernel's ublk driver (or its io_uring) is too old to say what it "
                       "offers; Linux 6.5 or later is needed");
  }
  return Error::from_errno(error, "the ublk driver does not tell its features");
}

Error explain_add(int error, int wanted_id) {
  switch (error) {
    case EEXIST:
      return Error::make(ErrorCode::kAlreadyExists, "/dev/ublkb" + std::to_string(wanted_id) +
                                                        " exists already; choose another --id");
    case EPERM:
      return Error::make(ErrorCode::kPermission,
                         "making a ublk device needs CAP_SYS_ADMIN; run as root");
    case EACCES:
      return Error::make(ErrorCode::kPermission,
                         "the limit on unprivileged ublk devices is reached");
    case ENOMEM:
      return Error::make(ErrorCode::kNoResources,
                         "the kernel has no memory for the queues; use fewer --queues or a smaller "
                         "--depth");
    case EINVAL:
      return Error::make(ErrorCode::kInvalidArgument,
                         "the ublk driver refuses this id, number of queues or depth");
    default:
      return Error::from_errno(error, "the ublk driver cannot make a device");
  }
}

Error explain_params(int error, const abi::Params& params) {
  const std::string shape = "block size " + std::to_string(1U << params.basic.logical_bs_shift) +
                            ", physical " + std::to_string(1U << params.basic.physical_bs_shift) +
                            ", " + std::to_string(params.basic.max_sectors) +
                            " sectors per request, " + std::to_string(params.basic.dev_sectors) +
                            " sectors";
  if (error == EINVAL) {
    return Error::make(ErrorCode::kUnsupported,
                       "this kernel's ublk driver refuses the device's limits (" + shape + ")");
  }
  return Error::from_errno(error, "cannot set the device's parameters (" + shape + ")");
}

Error explain_start(int error) {
  if (error == EINVAL) {
    return Error::make(ErrorCode::kUnsupported,
                       "the kernel refuses to start the device; the kernel log may say why");
  }
  return Error::from_errno(error, "the kernel cannot start the device");
}

Error explain_recovery(int error, std::uint32_t device) {
  const std::string name = "/dev/ublkb" + std::to_string(device);
  switch (error) {
    case ENODEV:
      return Error::make(ErrorCode::kNotFound, name + " does not exist any more");
    case EBUSY:
      return Error::make(ErrorCode::kBusy,
                         name + " is not quiesced: its server still runs, or is just ending");
    case EINVAL:
      return Error::make(ErrorCode::kUnsupported, name + " was not made to be recovered");
    default:
      return Error::from_errno(error, "cannot recover " + name);
  }
}

Error explain_stop(int error, const std::string& device) {
  if (error == EBUSY) {
    return Error::make(ErrorCode::kBusy, device + " is open; close what uses it, or use --force");
  }
  return Error::from_errno(error, "cannot stop " + device);
}

}  // namespace nvublk::ublk
