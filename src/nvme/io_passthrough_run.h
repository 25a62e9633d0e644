#pragma once

// Carries an IoPassthrough out: it goes to a queue's shard, waits for a slot there, and comes back.

#include <utility>

#include "engine/shard.h"
#include "nvme/io_passthrough.h"
#include "nvme/queue_pair.h"

namespace nvublk::nvme {

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
