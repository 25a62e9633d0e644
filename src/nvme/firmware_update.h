#pragma once

// Gives a controller another firmware image: downloads it in pieces that the controller takes, and
// commits it. [Base 2.1 §3.11]

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "engine/time.h"
#include "nvme/controller.h"
#include "nvme/spec/firmware.h"
#include "nvme/spec/status.h"

namespace nvublk::nvme {

/// What has to happen before an image that was committed runs.
enum class FirmwareActivation : std::uint8_t {
  kNone,             ///< another Firmware Commit
  kDone,             ///< nothing: it runs
  kControllerReset,  ///< Controller::reset() or any other Controller Level Reset
  kSubsystemReset,
  kConventionalReset,  ///< of the PCIe device
};

/// How an update ended.
struct FirmwareUpdateResult {
  /// Of the command that failed, or of Firmware Commit. An image that only waits for a reset was
  /// committed also with an error such as Firmware Activation Requires Controller Level Reset.
  spec::NvmeStatus status;
  bool committed = false;                                     ///< the image is in its slot
  FirmwareActivation activation = FirmwareActivation::kNone;  ///< of what was committed
  std::uint64_t downloaded_bytes = 0;                         ///< which the controller took
  bool overlapped = false;  ///< it saw another update at the same time (MUD)
};

/// An update. `image` has to stay until `done` has run.
struct FirmwareUpdate {
  std::span<std::byte> image{};  ///< whole dwords
  /// What becomes of the image; not kActivateAtReset, which is for an image that is in a slot.
  spec::FirmwareAction action = spec::FirmwareAction::kReplaceAndActivateAtReset;
  std::uint8_t slot = 0;  ///< 0 lets the controller choose, 1 to 7
  /// Of each command; past it the admin queue is closed. Zero: it may take for ever.
  Duration timeout = Duration::zero();
  /// Runs once, where callbacks of Controller::admin() do; may be empty.
  std::function<void(const FirmwareUpdateResult& result)> done;
};

/// The pieces' size in bytes: as large as both the largest transfer and the granularity (FWUG) of
/// the controller allow, up to 128 KiB; 0 when they allow none. [Base 2.1 §5.1.13.2.1]
std::uint32_t firmware_piece_bytes(const Controller& controller);

/// Begins an update; the controller outlives it. 0; -EINVAL for an image or a slot that cannot be;
/// -ENOTSUP when the controller has no firmware commands; -ENXIO unless it is live. Then `done`
/// does not run. [Base 2.1 §5.1.8, §5.1.9]
int update_firmware(Controller& controller, FirmwareUpdate update);

}  // namespace nvublk::nvme
