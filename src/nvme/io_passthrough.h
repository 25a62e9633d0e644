#pragma once

// An I/O command of the user's own for a controller whose queue pairs serve block devices.

#include <cstddef>
#include <functional>
#include <span>

#include "engine/time.h"
#include "nvme/spec/cqe.h"
#include "nvme/spec/sqe.h"
#include "nvme/spec/status.h"

namespace nvublk::nvme {

/// `data` and `metadata` have to stay until `done` has run, which it does on the control shard.
struct IoPassthrough {
  /// How the command ended: its status, and the completion entry (DW0 and DW1 are the result), or
  /// one made here when there was no answer.
  using Done = std::function<void(spec::NvmeStatus status, const spec::CompletionEntry& entry)>;

  spec::SubmissionEntry sqe;    ///< complete but for the CID and the data pointer
  std::span<std::byte> data{};  ///< in or out, as the opcode says; empty: none
  /// In a buffer of its own, for transports that have TransportLimits::separate_metadata.
  std::span<std::byte> metadata{};
  /// Past it the queue pair is closed; zero: it may take for ever.
  Duration timeout = Duration::zero();
  Done done;  ///< runs once; may be empty
};

}  // namespace nvublk::nvme
