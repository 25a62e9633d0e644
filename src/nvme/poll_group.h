#pragma once

// I/O queue pairs of one shard, of any number of controllers and transports, polled together.
// Shard-affine; the queue pairs stay their owners'.

#include <cstdint>
#include <vector>

#include "engine/shard.h"
#include "nvme/io_queue_pair.h"

namespace nvublk::nvme {

/// What a group is made with.
struct PollGroupOptions {
  bool interrupts = false;  ///< wait() sleeps until something has happened
};

/// Counts since the group was made.
struct PollGroupStatistics {
  std::uint64_t polls = 0;        ///< calls of process_completions() that polled
  std::uint64_t idle_polls = 0;   ///< that found nothing
  std::uint64_t completions = 0;  ///< callbacks that ran, of all members
  std::uint64_t sleeps = 0;       ///< of wait()
};

/// See the top of this file.
class PollGroup {
 public:
  /// Told of every member that is found disconnected, each time. The callback may reconnect it,
  /// remove it or free it.
  using Disconnected = void (*)(void* context, IoQueuePair& queue_pair);

  /// On the calling thread's shard, which outlives the group.
  explicit PollGroup(const PollGroupOptions& options = {});
  /// Without members only; see destroy().
  ~PollGroup();
  PollGroup(const PollGroup&) = delete;
  PollGroup& operator=(const PollGroup&) = delete;

  /// -EINVAL: not disconnected, of the other interrupt mode, or of another shard; -EBUSY: a member
  /// of a group already.
  int add(IoQueuePair& queue_pair);
  /// -ENOENT: not a member; -EINVAL: still connected.
  int remove(IoQueuePair& queue_pair);

  /// Polls once and runs up to `max_per_queue` callbacks of each member (0: all). Returns how many
  /// ran, or the first error of a member; 0 from within itself.
  std::int64_t process_completions(std::uint32_t max_per_queue, Disconnected disconnected,
                                   void* context = nullptr);
  /// 0 when all members are connected; -EAGAIN while one connects; -EIO when one is disconnected.
  int all_connected() const;

  /// Sleeps until a member has something to process, or `limit` has passed; any number of members,
  /// one descriptor. -EINVAL without interrupts.
  int wait(Duration limit);

  /// Counts since it was made.
  PollGroupStatistics statistics() const { return statistics_; }
  /// How many members there are.
  std::size_t size() const { return members_.size(); }
  /// -EBUSY while there are members; otherwise the group may be destroyed.
  int destroy() const;

 private:
  friend class IoQueuePair;
  void forget(IoQueuePair& queue_pair);
  bool has_completions() const;

  Shard& shard_;
  const PollGroupOptions options_;
  std::vector<IoQueuePair*> members_;  ///< null: removed while the group is being processed
  bool processing_ = false;
  PollGroupStatistics statistics_;
};

}  // namespace nvublk::nvme
