#pragma once

// Internal: what a controller and the I/O queue pairs that applications allocated of it share:
// which queue ids are free, who uses them, and whether the controller can have more of them.
// Thread-safe: queue pairs may live on other shards than their controller.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/shard.h"
#include "nvme/controller_status.h"
#include "nvme/dhchap_key.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

class IoQueuePair;

/// Whether I/O queue pairs can be had of a controller.
enum class QueueAvailability : std::uint8_t { kConnecting, kReady, kResetting, kFailed, kRemoved };

/// What a queue pair needs to know of its controller to connect.
struct IoQueueGrant {
  std::uint16_t cntlid = 0;
  std::uint32_t in_capsule_bytes = 0;
  std::uint32_t max_descriptors = 1;
  std::uint32_t max_commands = 0;  ///< that a queue can hold, at least 1
  std::uint32_t queue_count = 0;   ///< queue ids 1 to queue_count exist
};

class IoQueueLedger {
 public:
  /// A queue pair as others see it. `queue` is touched on `shard` only.
  struct Member {
    Shard* shard = nullptr;
    IoQueuePair* queue = nullptr;
  };

  explicit IoQueueLedger(std::shared_ptr<Transport> transport);

  Transport& transport() const { return *transport_; }
  QueueAvailability availability() const { return availability_.load(std::memory_order_relaxed); }
  /// 0, or a negative errno: -EAGAIN while it connects or resets, -ENXIO once it has failed,
  /// -ENODEV when it is gone.
  int error() const;

  // The controller's.
  void open(const IoQueueGrant& grant);
  /// No more queue pairs from now on; those there are get disconnected, each on its own shard.
  void close(QueueAvailability why, QueueFailure failure, const std::string& reason);

  /// Those that queue pairs authenticate with from now on.
  void set_keys(const DhchapKeys& keys);

  // A queue pair's.
  DhchapKeys keys() const;
  /// What to connect with, or why there is nothing to connect to.
  Result<IoQueueGrant> grant() const;
  /// A queue id that nobody has; join() and leave() are a queue pair's first and last call.
  Result<std::uint16_t> join(const std::shared_ptr<Member>& member);
  void leave(const std::shared_ptr<Member>& member, std::uint16_t qid);
  std::size_t member_count() const;

 private:
  Result<IoQueueGrant> grant_locked() const;

  const std::shared_ptr<Transport> transport_;
  std::atomic<QueueAvailability> availability_{QueueAvailability::kConnecting};
  mutable std::mutex mutex_;
  IoQueueGrant grant_;                            // by mutex_
  DhchapKeys keys_;                               // by mutex_
  std::string reason_;                            // by mutex_
  std::vector<bool> qid_taken_;                   // by mutex_; [i] is queue id i + 1
  std::vector<std::shared_ptr<Member>> members_;  // by mutex_
};

}  // namespace nvublk::nvme
