#pragma once

// An I/O queue pair and the little life it has of its own on its shard: connection, Connect
// command, live. What happens to it is told to the control shard.

#include <cstdint>
#include <memory>
#include <string>

#include "engine/shard.h"
#include "nvme/controller_options.h"
#include "nvme/queue_connect.h"
#include "nvme/queue_pair.h"

namespace nvublk::nvme {

/// Told on the control shard.
class IoQueueListener {
 public:
  virtual void io_queue_live(std::uint16_t qid, bool sq_flow_control_disabled) = 0;
  /// Exactly once for every start(): the queue is closed, for this reason. `cut_off_writes`: see
  /// QueuePair.
  virtual void io_queue_closed(std::uint16_t qid, const Error& reason, bool cut_off_writes) = 0;
  /// release() has taken effect.
  virtual void io_queue_released(std::uint16_t qid) = 0;
  /// See QueuePairOwner::command_timed_out.
  virtual void io_command_timed_out(std::uint16_t qid, std::uint16_t cid) = 0;

 protected:
  ~IoQueueListener() = default;
};

/// As `options` have them.
CommandTimeouts command_timeouts(const ControllerOptions& options);

class IoQueue final : private QueuePairOwner, private QueueConnect::Listener {
 public:
  IoQueue(Shard& shard, Shard& control, std::uint16_t qid, std::uint32_t depth,
          const ControllerOptions& options, IoQueueListener& listener);

  /// What every (re)connect needs to know.
  struct Start {
    Transport* transport = nullptr;
    std::uint16_t cntlid = 0;
    std::uint32_t in_capsule_bytes = 0;
    std::uint32_t max_descriptors = 1;
    RetryDelays retry_delays{};
  };
  /// Control shard, as all that follow: posted to the queue's shard. Once live, the queue holds its
  /// block requests back until release().
  void start(const Start& parameters);
  void release();
  void set_timeouts(const CommandTimeouts& timeouts);
  void set_keys(const DhchapKeys& keys);
  void stop(const Error& reason);
  void fail_waiting(int error_number);
  void fail_all(int error_number);

  QueuePair& queue_pair() { return queue_pair_; }
  const QueuePair& queue_pair() const { return queue_pair_; }
  Shard& shard() { return queue_pair_.shard(); }

 private:
  void queue_connected(std::uint16_t qid) override;
  void queue_disconnected(std::uint16_t qid, const Error& reason) override;
  void command_timed_out(std::uint16_t qid, std::uint16_t cid) override;
  void queue_live(bool sq_flow_control_disabled) override;

  Shard& control_;
  IoQueueListener& listener_;
  QueuePair queue_pair_;
  QueueConnect connect_;
  Start start_;
};

}  // namespace nvublk::nvme
