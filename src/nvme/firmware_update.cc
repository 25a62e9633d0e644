#include "nvme/firmware_update.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "nvme/management_command.h"

namespace nvublk::nvme {

namespace {

using spec::CommandStatus;
using spec::FirmwareAction;

/// More makes it no faster, and drives are known to be slow with it.
constexpr std::uint32_t kMostPieceBytes = 128 * 1024;

/// FWUG in bytes. Where it is not reported, what most controllers want. [Base 2.1 §5.1.13.2.1]
std::uint32_t granularity_bytes(std::uint8_t fwug) {
  if (fwug == spec::kFirmwareAnyGranularity) {
    return sizeof(std::uint32_t);
  }
  return (fwug == 0 ? 1u : fwug) * spec::kFirmwareGranularityBytes;
}

FirmwareActivation after(FirmwareAction action) {
  switch (action) {
    case FirmwareAction::kReplaceAndActivateNow:
      return FirmwareActivation::kDone;
    case FirmwareAction::kReplaceAndActivateAtReset:
    case FirmwareAction::kActivateAtReset:
      return FirmwareActivation::kControllerReset;
    case FirmwareAction::kReplace:
      break;
  }
  return FirmwareActivation::kNone;
}

/// Errors that say that the image was committed all the same. [Base 2.1 §5.1.8.1]
void judge_commit(FirmwareAction action, FirmwareUpdateResult& result) {
  result.committed = true;
  if (result.status.ok()) {
    result.activation = after(action);
  } else if (result.status.is(CommandStatus::kFirmwareNeedsControllerReset)) {
    result.activation = FirmwareActivation::kControllerReset;
  } else if (result.status.is(CommandStatus::kFirmwareNeedsSubsystemReset)) {
    result.activation = FirmwareActivation::kSubsystemReset;
  } else if (result.status.is(CommandStatus::kFirmwareNeedsConventionalReset)) {
    result.activation = FirmwareActivation::kConventionalReset;
  } else {
    // The image is in its slot, and another commit may activate it.
    result.committed = result.status.is(CommandStatus::kFirmwareNeedsMaxTime);
  }
}

/// One update; it lives in the callbacks of its commands.
class Update : public std::enable_shared_from_this<Update> {
 public:
  Update(Controller& controller, FirmwareUpdate update, std::uint32_t piece_bytes)
      : controller_(controller), update_(std::move(update)), piece_bytes_(piece_bytes) {}

  int next() {
    AdminCommand command;
    command.timeout = update_.timeout;
    const std::uint64_t offset = result_.downloaded_bytes;
    if (offset == update_.image.size()) {
      command.sqe = command::firmware_commit(update_.action, update_.slot);
      command.done = [self = shared_from_this()](auto status, const auto& entry) {
        self->note(status, entry);
        judge_commit(self->update_.action, self->result_);
        self->end();
      };
    } else {
      const std::uint64_t left = update_.image.size() - offset;
      const auto length = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, piece_bytes_));
      command.sqe = command::firmware_download(offset, length);
      command.data = update_.image.subspan(offset, length);
      command.done = [self = shared_from_this(), length](auto status, const auto& entry) {
        self->note(status, entry);
        if (status.ok()) self->result_.downloaded_bytes += length;
        if (!status.ok()) {
          self->end();
        } else if (self->next() != 0) {
          self->result_.status = spec::NvmeStatus::make(spec::PathStatus::kHostPathError);
          self->end();
        }
      };
    }
    return controller_.admin().submit(std::move(command));
  }

 private:
  void note(spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    result_.status = status;
    result_.overlapped = result_.overlapped || (entry.dw0.get() & 0x3) != 0;
  }
  void end() {
    if (update_.done) {
      update_.done(result_);
    }
  }

  Controller& controller_;
  FirmwareUpdate update_;
  const std::uint32_t piece_bytes_;
  FirmwareUpdateResult result_;
};

}  // namespace

std::uint32_t firmware_piece_bytes(const Controller& controller) {
  const ControllerProfile& profile = controller.profile();
  std::uint64_t most = std::min<std::uint64_t>(
      kMostPieceBytes, profile.identify.max_transfer_bytes(profile.cap.min_page_bytes()));
  const std::uint32_t by_transport = controller.transport_limits().max_transfer_bytes;
  if (by_transport != 0) {
    most = std::min<std::uint64_t>(most, by_transport);
  }
  const std::uint32_t unit = granularity_bytes(profile.identify.fwug);
  return static_cast<std::uint32_t>(most / unit * unit);
}

int update_firmware(Controller& controller, FirmwareUpdate update) {
  if (controller.state() != ControllerState::kLive) {
    return -ENXIO;
  }
  if (!controller.profile().identify.supports_firmware()) {
    return -ENOTSUP;
  }
  const std::uint32_t piece_bytes = firmware_piece_bytes(controller);
  if (update.image.empty() || update.image.size() % sizeof(std::uint32_t) != 0 ||
      update.slot > spec::kFirmwareMaxSlots || update.action == FirmwareAction::kActivateAtReset ||
      piece_bytes == 0) {
    return -EINVAL;
  }
  return std::make_shared<Update>(controller, std::move(update), piece_bytes)->next();
}

}  // namespace nvublk::nvme
