#include "service/device_command.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "nvme/status_text.h"

namespace nvublk::service {

namespace {

// A log that changes between two commands would be torn, so one reads as much as it may.
constexpr std::uint64_t kLogPieceBytes = 64 * 1024;

Error not_live(const nvme::Controller& controller, const std::string& step) {
  return Error{ErrorCode::kDisconnected,
               controller.name() + " is " + nvme::controller_state_name(controller.state()) +
                   "; 'nvublk status' says more",
               step, 0};
}

Error refused(nvme::spec::NvmeStatus status, const std::string& step) {
  if (status.sct() == nvme::spec::StatusCodeType::kPath ||
      status.is(nvme::spec::GenericStatus::kAbortedSqDeletion)) {
    return Error{ErrorCode::kDisconnected,
                 "the connection broke before the controller answered; try again", step,
                 status.bits()};
  }
  return Error{ErrorCode::kNvmeStatus,
               "the controller refuses the command: " + nvme::status_text(status), step,
               status.bits()};
}

/// What has to stay until a command has ended.
struct Running {
  DeviceCommand command;
  DeviceCommand::Done done;

  void finish(nvme::spec::NvmeStatus status, const nvme::spec::CompletionEntry& entry) {
    if (!status.ok()) {
      done(std::unexpected(refused(status, command.name)));
      return;
    }
    done(DeviceAnswer{std::move(command.data), std::move(command.metadata),
                      entry.dw0.get() | static_cast<std::uint64_t>(entry.dw1.get()) << 32});
  }
};

template <typename Command>
Command make_command(const std::shared_ptr<Running>& running, Duration usual) {
  Command command;
  command.sqe = running->command.sqe;
  command.data = running->command.data;
  if constexpr (requires { command.metadata; }) {
    command.metadata = running->command.metadata;
  }
  command.timeout = running->command.timeout.count() == 0 ? usual : running->command.timeout;
  command.done = [running](nvme::spec::NvmeStatus status,
                           const nvme::spec::CompletionEntry& entry) {
    running->finish(status, entry);
  };
  return command;
}

/// A log that is read piece by piece.
struct LogRead : std::enable_shared_from_this<LogRead> {
  nvme::Controller& controller;
  nvme::command::LogPageArguments arguments;
  std::uint64_t length_bytes;
  DeviceCommand::Done done;
  DeviceAnswer answer{};

  LogRead(nvme::Controller& reads, const nvme::command::LogPageArguments& what,
          DeviceCommand::Done then)
      : controller(reads),
        arguments(what),
        length_bytes(what.length_bytes),
        done(std::move(then)) {}

  void next() {
    const std::uint64_t filled = answer.data.size();
    const std::uint64_t most = std::min(kLogPieceBytes, max_transfer_bytes(controller));
    arguments.length_bytes = std::min(length_bytes - filled, most);
    arguments.offset_bytes = filled;
    DeviceCommand command;
    command.name = "get log page";
    command.sqe = nvme::command::get_log_page(arguments);
    command.data.resize(arguments.length_bytes);
    send_command(
        controller, std::move(command),
        [self = shared_from_this()](Result<DeviceAnswer> piece) { self->take(std::move(piece)); });
  }

  // Within a callback of the controller, which is still there then.
  void take(Result<DeviceAnswer> piece) {
    if (!piece) {
      done(std::move(piece));
      return;
    }
    answer.data.insert(answer.data.end(), piece->data.begin(), piece->data.end());
    if (answer.data.size() < length_bytes) {
      next();
      return;
    }
    done(std::move(answer));
  }
};

}  // namespace

std::uint64_t max_transfer_bytes(const nvme::Controller& controller) {
  const nvme::ControllerProfile& profile = controller.profile();
  const std::uint64_t device = profile.identify.max_transfer_bytes(profile.cap.min_page_bytes());
  const std::uint64_t transport = controller.transport_limits().max_transfer_bytes;
  return transport == 0 ? device : std::min(device, transport);
}

void send_command(nvme::Controller& controller, DeviceCommand command, DeviceCommand::Done done) {
  if (controller.state() != nvme::ControllerState::kLive) {
    done(std::unexpected(not_live(controller, command.name)));
    return;
  }
  auto running = std::make_shared<Running>(Running{std::move(command), std::move(done)});
  const nvme::ControllerOptions& options = controller.options();
  const int error =
      running->command.io
          ? controller.submit_io(make_command<nvme::IoPassthrough>(running, options.io_timeout))
          : controller.admin().submit(
                make_command<nvme::AdminCommand>(running, options.admin_timeout));
  if (error != 0) {
    running->done(std::unexpected(not_live(controller, running->command.name)));
  }
}

void read_log(nvme::Controller& controller, const nvme::command::LogPageArguments& arguments,
              DeviceCommand::Done done) {
  std::make_shared<LogRead>(controller, arguments, std::move(done))->next();
}

}  // namespace nvublk::service
