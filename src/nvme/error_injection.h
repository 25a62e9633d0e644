#pragma once

// Errors made here, for tests of whoever stands above: commands of an opcode end with a status of
// the caller's choice, after or instead of going to the device. Shard-affine, like the queue pair
// that it belongs to.

#include <cstdint>
#include <vector>

#include "engine/time.h"
#include "nvme/spec/status.h"

namespace nvublk::nvme {

/// What happens to the next commands with `opcode`.
struct InjectedError {
  std::uint8_t opcode = 0;     ///< of the commands that it strikes
  std::uint32_t count = 1;     ///< how many commands it strikes, then it is over
  spec::NvmeStatus status;     ///< how these end
  bool do_not_submit = false;  ///< the device never sees the command
  /// How much later than it could the command ends; when its connection closes, at once.
  Duration delay = Duration::zero();
};

/// What strikes one command.
struct InjectedOutcome {
  bool strikes = false;               ///< whether anything happens to it
  bool do_not_submit = false;         ///< as in InjectedError
  spec::NvmeStatus status;            ///< as in InjectedError
  Duration delay = Duration::zero();  ///< as in InjectedError
};

/// The errors of one queue pair. Shard-affine.
class ErrorInjector {
 public:
  /// Replaces what was there for the same opcode. With a count of 0 it only removes that.
  void add(const InjectedError& error);
  /// Harmless if there is none for `opcode`.
  void remove(std::uint8_t opcode);
  /// Whether commands pass unharmed.
  bool empty() const { return errors_.empty(); }

  /// What becomes of a command that is submitted now; counts.
  InjectedOutcome take(std::uint8_t opcode);

 private:
  std::vector<InjectedError> errors_;
};

}  // namespace nvublk::nvme
