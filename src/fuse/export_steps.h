#pragma once

// The sequences of an export's life: making the block device, giving it back if nobody uses it,
// and taking everything apart. Pure: FuseExport performs the actions.

#include <cstdint>
#include <optional>
#include <span>

#include "engine/step_machine.h"

namespace nvublk::fuse {

enum class ExportAction : std::uint8_t {
  kPrepare,           ///< make the mount point
  kMount,             ///< mount, one descriptor per queue
  kStartQueues,       ///< serve the descriptors
  kAwaitHandshake,    ///< the kernel and libfuse agree
  kAttachLoop,        ///< loop device on the file; `again`: its node is not there yet
  kProbeDevice,       ///< open it; `again`: not yet
  kReleaseLoop,       ///< if unused; `again`: used, but perhaps for a moment only
  kSever,             ///< no more requests and replies
  kCloseDescriptors,  ///< with the last one the kernel fails what it still has
  kAwaitCall,         ///< a blocking call that was under way returns
  kClearLoop,         ///< at once, or when its last user closes it
  kUnmount,           ///< and remove the mount point
  kDrain,             ///< the device has answered everything
};

struct ExportOutcome {
  std::optional<Error> failure;
  bool again = false;

  const std::optional<Error>& error() const { return failure; }
};

class StartSteps : public StepMachine<StartSteps, ExportAction, ExportOutcome> {
 public:
  static std::span<const Row> rows();

 private:
  Duration limit() const { return seconds(10); }
  Duration long_limit() const { return seconds(30); }
  template <ExportAction kAction>
  std::optional<ExportAction> begin() {
    return kAction;
  }
  StepNext next(const ExportOutcome& outcome);
};

/// Fails with kBusy while somebody uses the device; then nothing has changed.
class ReleaseSteps : public StepMachine<ReleaseSteps, ExportAction, ExportOutcome> {
 public:
  static std::span<const Row> rows();
  /// Before another start().
  void begin_again() { *this = ReleaseSteps(); }

 private:
  Duration limit() const { return seconds(30); }
  std::optional<ExportAction> begin() { return ExportAction::kReleaseLoop; }
  StepNext decide(const ExportOutcome& outcome);

  int attempts_ = 0;
};

/// Always ends; failures only mean that there was nothing to do.
class TeardownSteps : public StepMachine<TeardownSteps, ExportAction, ExportOutcome> {
 public:
  static std::span<const Row> rows();

 private:
  /// The device answers when it does; each step before is short.
  Duration limit() const { return std::chrono::hours(24 * 365); }
  template <ExportAction kAction>
  std::optional<ExportAction> begin() {
    return kAction;
  }
  StepNext next(const ExportOutcome&) { return StepNext::next(); }
};

}  // namespace nvublk::fuse
