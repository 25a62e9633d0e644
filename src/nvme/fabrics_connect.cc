#include "nvme/fabrics_connect.h"

#include <cstddef>
#include <string>

#include "nvme/spec/text.h"
#include "nvme/status_text.h"

namespace nvublk::nvme {

void build_fabrics_connect(const command::ConnectArguments& arguments, std::uint16_t cntlid,
                           const ControllerOptions& options, Request& request,
                           spec::ConnectData& data) {
  data = spec::ConnectData{};
  data.hostid = options.host.id.bytes;
  data.cntlid = cntlid;
  spec::fill_text(data.subnqn, options.transport.id.subnqn, '\0');
  spec::fill_text(data.hostnqn, options.host.nqn, '\0');

  request.sqe = command::fabrics_connect(arguments);
  request.set_data(&data, sizeof(data));
}

namespace {

std::string invalid_parameter_text(const spec::ConnectInvalidParameter& parameter,
                                   const ControllerOptions& options) {
  if (parameter.in_data && parameter.offset_bytes == offsetof(spec::ConnectData, subnqn)) {
    return "the target has no subsystem \"" + options.transport.id.subnqn +
           "\" on this port; check the NQN";
  }
  if (parameter.in_data && parameter.offset_bytes == offsetof(spec::ConnectData, hostnqn)) {
    return "the target does not accept host NQN \"" + options.host.nqn + "\"";
  }
  if (parameter.in_data && parameter.offset_bytes == offsetof(spec::ConnectData, hostid)) {
    return "the target does not accept this host id; use the one that belongs to the host NQN";
  }
  if (parameter.in_data && parameter.offset_bytes == offsetof(spec::ConnectData, cntlid)) {
    return "the target does not have the controller that was asked for";
  }
  return "the target refused the parameter at offset " + std::to_string(parameter.offset_bytes) +
         " of the Connect " + (parameter.in_data ? "data" : "command");
}

}  // namespace

Error fabrics_connect_error(spec::NvmeStatus status, const spec::CompletionEntry& entry,
                            const ControllerOptions& options) {
  Error error = Error::make(ErrorCode::kNvmeStatus, "");
  error.nvme_status = status.bits();
  if (status.is(spec::FabricsStatus::kInvalidParameters)) {
    error.text = invalid_parameter_text(spec::ConnectInvalidParameter::decode(entry), options);
  } else if (status.is(spec::FabricsStatus::kInvalidHost)) {
    error.code = ErrorCode::kPermission;
    error.text = "the target does not allow host \"" + options.host.nqn + "\" on subsystem \"" +
                 options.transport.id.subnqn +
                 "\"; add this host NQN to the subsystem's allowed hosts, or use --hostnqn";
  } else if (status.is(spec::FabricsStatus::kControllerBusy)) {
    error.code = ErrorCode::kBusy;
    error.text = "the target has no free controller for this host; try again later";
  } else if (status.is(spec::FabricsStatus::kAuthenticationRequired)) {
    error.code = ErrorCode::kPermission;
    error.text = "the target requires authentication; give the key with --dhchap-secret";
  } else {
    error.text =
        "the target refused the connection: " + status_text(status, StatusOf::kFabricsCommand);
  }
  return error;
}

}  // namespace nvublk::nvme
