#pragma once

// An I/O command of the user's own on a queue pair that serves block devices. It goes to the
// queue's shard, waits for a slot there, and comes back.

#include <cstddef>
#include <functional>
#include <span>

#include "engine/shard.h"
#include "nvme/queue_pair.h"

namespace nvublk::nvme {

/// `data` and `metadata` have to stay until `done` has run, which it does on the control shard.
struct IoPassthrough {
  using Done = std::function<void(spec::NvmeStatus status, const spec::CompletionEntry& entry)>;

  spec::SubmissionEntry sqe;  ///< complete but for the CID and the data pointer
  std::span<std::byte> data{};
  /// In a buffer of its own, for transports that have TransportLimits::separate_metadata.
  std::span<std::byte> metadata{};
  /// Past it the queue pair is closed; zero: it may take for ever.
  Duration timeout = Duration::zero();
  Done done;
};

/// One of them under way; it owns itself.
class IoPassthroughRun final : private SlotWaiter {
 public:
  /// On the control shard; `queue` stays until `command.done` has run.
  static void start(QueuePair& queue, Shard& control, IoPassthrough command);

 private:
  IoPassthroughRun(QueuePair& queue, Shard& control, IoPassthrough command)
      : queue_(queue), control_(control), command_(std::move(command)) {}
  void slot_free(Request& request) override;
  void no_slot() override;
  void finish(spec::NvmeStatus status, const spec::CompletionEntry& entry);

  QueuePair& queue_;
  Shard& control_;
  IoPassthrough command_;
};

}  // namespace nvublk::nvme
