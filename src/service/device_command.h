#pragma once

// Commands that a user's call sends to an attached controller, and log pages of any length.
// Control-shard-affine.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nvme/command.h"
#include "nvme/controller.h"

namespace nvublk::service {

struct DeviceAnswer {
  std::vector<std::byte> data;  ///< as long as the command's
  std::vector<std::byte> metadata;
  std::uint64_t result = 0;  ///< DW0 and DW1 of the completion
};

struct DeviceCommand {
  using Done = std::function<void(Result<DeviceAnswer> answer)>;

  std::string name;  ///< "get log page": the step of its errors
  nvme::spec::SubmissionEntry sqe;
  std::vector<std::byte> data;  ///< what is sent, or room for what is received
  bool io = false;
  std::vector<std::byte> metadata;  ///< of an I/O command, apart from its data
  /// A connection that does not answer in time is closed and made anew; zero: the usual time.
  milliseconds timeout{0};
};

/// `done` runs once, perhaps from within this call. Neither the attachment nor the controller has
/// to stay for it.
void send_command(nvme::Controller& controller, DeviceCommand command, DeviceCommand::Done done);

/// Reads `arguments.length_bytes` of a log, in as many commands as its length needs.
void read_log(nvme::Controller& controller, const nvme::command::LogPageArguments& arguments,
              DeviceCommand::Done done);

/// The most data of one command of `controller`.
std::uint64_t max_transfer_bytes(const nvme::Controller& controller);

}  // namespace nvublk::service
