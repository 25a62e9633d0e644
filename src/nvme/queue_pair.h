#pragma once

// Internal: one queue pair, admin or I/O: its request slots, the transport's queue below, and the
// block requests that wait for a slot or for the connection. It outlives its connections: after
// on_disconnected a new connect() may follow, and what was outstanding for the block layer then
// goes out again, in its old order. Shard-affine, but for status().

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "engine/block.h"
#include "engine/counter.h"
#include "engine/log.h"
#include "engine/shard.h"
#include "nvme/controller_options.h"
#include "nvme/controller_status.h"
#include "nvme/request_table.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

/// Who owns the queue pair's life. Calls come on the queue pair's shard.
class QueuePairOwner {
 public:
  /// The transport is connected; over fabrics the Connect command has to follow.
  virtual void queue_connected(std::uint16_t qid) = 0;
  /// The connection is gone; every command that is not the block layer's has been completed with a
  /// path error. connect() may be called again.
  virtual void queue_disconnected(std::uint16_t qid, const Error& reason) = 0;
  /// Command `cid` has no answer in time and CommandTimeouts say abort: that it be aborted is asked
  /// for. It goes on until then.
  virtual void command_timed_out(std::uint16_t qid, std::uint16_t cid) {
    static_cast<void>(qid);
    static_cast<void>(cid);
  }

 protected:
  ~QueuePairOwner() = default;
};

struct SlotWaiterTag;

/// A command that is not the block layer's and waits for a slot of a live queue pair.
class SlotWaiter : public ListHook<SlotWaiterTag> {
 public:
  /// A slot is free: submit() it.
  virtual void slot_free(Request& request) = 0;
  /// There will be none: the queue pair is not live.
  virtual void no_slot() = 0;

 protected:
  ~SlotWaiter() = default;
};

/// What becomes of block requests that do not succeed.
struct QueuePairPolicy {
  std::uint32_t retries = 4;  ///< after statuses that say "try again"
  bool log_errors = true;
};

/// How long commands may take, and what happens then.
struct CommandTimeouts {
  Duration io{};                                 ///< for block requests
  TimeoutAction action = TimeoutAction::kReset;  ///< for all but the admin queue's
  Duration abort{};  ///< how long an abort may take until the queue pair closes
};

/// CRDT1 to CRDT3 of the controller: how long to wait when a status says so. [Base 2.1 §4.2.3]
using RetryDelays = std::array<Duration, 3>;

class QueuePair final : private QueueTransportSink {
 public:
  QueuePair(Shard& shard, std::uint16_t qid, std::uint32_t depth, Duration command_timeout,
            QueuePairOwner& owner, const QueuePairPolicy& policy = {});
  ~QueuePair();
  QueuePair(const QueuePair&) = delete;
  QueuePair& operator=(const QueuePair&) = delete;

  Shard& shard() const { return shard_; }
  std::uint16_t qid() const { return qid_; }
  std::uint32_t depth() const { return requests_.size(); }
  QueueState state() const { return state_.load(std::memory_order_relaxed); }
  /// Any shard; `shard` and `failure` are the controller's to fill.
  QueueStatus status() const;
  /// Which step of connecting runs; on this shard only.
  StepView connect_step() const;

  /// Begins to connect; the owner is told how it went. Only while disconnected.
  void connect(Transport& transport, const QueueTransportOptions& options);
  /// Begins to close; the owner is told. Harmless when disconnected (then nobody is told).
  void disconnect(Error reason);
  /// From here on block requests flow (after Fabrics Connect has succeeded), unless held.
  void set_live();
  /// Block requests wait although the queue pair may be live, until release().
  void hold() { held_ = true; }
  void release();
  /// Take effect with the next command.
  void set_timeouts(const CommandTimeouts& timeouts) { timeouts_ = timeouts; }
  void set_retry_delays(const RetryDelays& delays) { retry_delays_ = delays; }
  /// Whether a command other than a read had no answer when the connection ended: it may yet be
  /// carried out, for all that is known here.
  bool cut_off_writes() const { return cut_off_writes_; }

  /// A free slot for a command of the caller's, null if all are in use.
  Request* acquire() { return requests_.acquire(); }
  /// Sends `request`, made with acquire(); `done` is called exactly once. With a `timeout` of zero
  /// the command may take for ever.
  void submit(Request& request, Duration timeout);
  /// Calls `waiter`, perhaps at once: before any block request that waits gets a slot.
  void wait_for_slot(SlotWaiter& waiter);

  /// Takes a request whose `queue` is a NamespaceQueue of this queue pair.
  void submit_block(BlockRequest& request);
  /// While not live, waiting and new block requests fail with `error_number` (0: they wait again).
  void fail_waiting(int error_number);
  /// From now on every block request fails with `error_number`, also while live.
  void fail_all(int error_number);
  /// Ends the waiting block requests of namespaces that are retired.
  void fail_retired();
  /// The same, and closes the connection if a command of theirs has no answer yet.
  void abandon_retired();

 private:
  void on_connected() override;
  void on_completion(const spec::CompletionEntry& entry) override;
  void on_disconnected(Error reason) override;

  bool can_start() const { return state() == QueueState::kLive && !held_ && fail_all_error_ == 0; }
  int waiting_error() const { return fail_all_error_ != 0 ? fail_all_error_ : fail_waiting_error_; }
  void start_block(BlockRequest& block, Request& request);
  void send(Request& request, Duration timeout);
  void complete(Request& request, spec::NvmeStatus status, const spec::CompletionEntry& entry);
  void complete_block(BlockRequest& block, const spec::CompletionEntry& entry, bool aborted);
  bool should_retry(const BlockRequest& block, spec::NvmeStatus status, bool aborted) const;
  void retry(BlockRequest& block, spec::NvmeStatus status);
  void on_retry_timer();
  void undelay();
  void pump_if_waiting() {
    if (!waiting_.empty() || !slot_waiters_.empty()) {
      pump();
    }
  }
  void pump();
  void pump_slot_waiters();
  void fail_slot_waiters();
  void fail_waiters();
  bool may_change_media(const Request& request) const;
  void requeue_outstanding();
  void on_timer();
  bool expire(Request& request, Instant now);
  void on_closed();
  void log_failure(const BlockRequest& block, spec::NvmeStatus status);

  Shard& shard_;
  const std::uint16_t qid_;
  CommandTimeouts timeouts_;
  RetryDelays retry_delays_{};
  QueuePairOwner& owner_;
  const QueuePairPolicy policy_;
  RequestTable requests_;
  std::unique_ptr<QueueTransport> transport_;
  std::atomic<QueueState> state_{QueueState::kDisconnected};
  std::atomic<bool> in_controller_memory_{false};

  // Commands given to the transport, oldest first.
  IntrusiveList<Request, RequestTag> outstanding_;
  // Block requests without a slot, oldest first.
  IntrusiveList<BlockRequest, BlockRequestTag> waiting_;
  // Block requests that the controller wants to see again later, by when.
  IntrusiveList<BlockRequest, BlockRequestTag> delayed_;
  IntrusiveList<SlotWaiter, SlotWaiterTag> slot_waiters_;
  bool held_ = false;
  bool cut_off_writes_ = false;
  int fail_waiting_error_ = 0;
  int fail_all_error_ = 0;
  Error disconnect_reason_;
  Timer timer_;
  Timer retry_timer_;
  Deferred closed_;
  LogLimiter log_limiter_;

  Counter outstanding_count_;
  Counter submitted_;
  Counter completed_;
  Counter errors_;
};

}  // namespace nvublk::nvme
