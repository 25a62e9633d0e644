#pragma once

// An I/O queue pair that an application allocated of a controller (Controller::
// allocate_io_queue_pair) and polls itself: nothing is sent, received or completed but in its
// calls, and callbacks run in process_completions() only. Shard-affine: to the shard of the thread
// that allocated it.
//
// Data path calls answer 0 or a negative errno:
//   -ENOMEM  all requests are in use; process completions and try again
//   -ENXIO   the queue pair is not connected, or its controller has failed or is gone
//   -EINVAL  the command cannot be right
//
// From within a callback everything is allowed: to submit, to process completions (also of this
// queue pair), to disconnect, and to free this queue pair.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <sys/uio.h>

#include "engine/intrusive_list.h"
#include "engine/shard.h"
#include "nvme/error_injection.h"
#include "nvme/io_queue_ledger.h"
#include "nvme/queue_connect.h"
#include "nvme/queue_pair.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

class PollGroup;
struct IoRequestTag;
struct PollGroupTag;

/// QPRIO of Create I/O Submission Queue. [Base 2.1 §5.2.2]
enum class QueuePriority : std::uint8_t { kUrgent = 0, kHigh = 1, kMedium = 2, kLow = 3 };

/// What a queue pair is allocated with; IoQueuePair::options() has what is in force.
struct IoQueuePairOptions {
  static constexpr std::uint32_t kMaxRequests = 65536;  ///< the most `requests` may be

  /// Anything but kUrgent needs weighted round robin arbitration.
  QueuePriority priority = QueuePriority::kUrgent;
  std::uint32_t queue_size = 0;  ///< commands at the device at a time; 0: the controller's option
  std::uint32_t requests = 0;    ///< in all, waiting ones included; 0: the controller's option
  bool delay_submit = true;      ///< commands leave with the next poll, many at a time
  bool create_only = false;      ///< connect() follows later, as poll groups need it
  bool async = false;            ///< do not wait for the connection; requests wait for it
  bool interrupts = false;       ///< for poll groups that wait()
  /// Local drives (PCIe): memory for the queues, from a page's beginning (4096 bytes) and whole
  /// pages long. A submission queue needs 64 bytes, a completion queue 16, for each of `queue_size`
  /// + 1 entries. It stays the application's, which leaves it alone until the queue pair is freed.
  /// Empty: the queue pair's own.
  QueueMemory memory{};
};

/// One command for an I/O queue pair. Memory that it points to has to stay until it has ended.
struct IoCommand {
  /// The end of the command: its status, and the completion entry as it came.
  using Done = Request::Done;

  spec::SubmissionEntry sqe;         ///< complete but for the CID and the data pointer
  const iovec* iov = nullptr;        ///< the data's memory; less than 4 GiB in all
  std::uint32_t iov_count = 0;       ///< 0: no data
  void* metadata = nullptr;          ///< in a buffer of its own: only PCIe has that
  std::uint32_t metadata_bytes = 0;  ///< its length
  Done done = nullptr;               ///< runs once; never from within submit()
  void* context = nullptr;           ///< what `done` gets
  void* tag = nullptr;               ///< what abort_matching() looks for, null: the context
};

/// A command under way. Its queue pair's, not the application's.
struct IoRequest : ListHook<IoRequestTag> {
  ///@{
  /// As in the IoCommand that it was made from; `length_bytes` is that of all the data.
  spec::SubmissionEntry sqe;
  const iovec* iov = nullptr;
  std::uint32_t iov_count = 0;
  std::uint32_t length_bytes = 0;
  void* metadata = nullptr;
  std::uint32_t metadata_bytes = 0;
  IoCommand::Done done = nullptr;
  void* context = nullptr;
  void* tag = nullptr;
  ///@}

  IoQueuePair* queue = nullptr;   ///< whose it is
  std::uint16_t cid = 0;          ///< while it is outstanding
  bool timeout_reported = false;  ///< the timeout callback had it
  Instant deadline = kNever;      ///< when the timeout callback runs
  Instant release = kNever;       ///< when a delayed one ends
  InjectedOutcome injected;       ///< what inject_error() does to it
  spec::NvmeStatus status;        ///< how it ended, before `done` runs
  spec::CompletionEntry cqe;      ///< likewise
};

/// Counts since the queue pair was allocated.
struct IoQueuePairStatistics {
  std::uint64_t polls = 0;        ///< calls of process_completions(), and of its poll group's
  std::uint64_t idle_polls = 0;   ///< that found nothing
  std::uint64_t completions = 0;  ///< callbacks that ran
  std::uint64_t submitted = 0;    ///< commands given to the transport
  std::uint64_t queued = 0;       ///< commands that had to wait
};

/// See the top of this file. Freed by its Pointer, which may be after its controller is gone.
class IoQueuePair final : private QueuePairOwner, private QueueConnect::Listener {
 public:
  /// Frees: what is outstanding or waits ends with Aborted - SQ Deletion first. From within a
  /// callback of this queue pair the memory goes once that callback is back.
  struct Free {
    /// What the pointer calls.
    void operator()(IoQueuePair* queue_pair) const { queue_pair->free(); }
  };
  /// Owns a queue pair.
  using Pointer = std::unique_ptr<IoQueuePair, Free>;
  /// `cid` of the command that took too long; it goes on: abort it, or reset the controller.
  using TimedOut = void (*)(void* context, IoQueuePair& queue_pair, std::uint16_t cid);

  /// See Controller::allocate_io_queue_pair(). The ledger outlives the controller.
  static Result<Pointer> allocate(std::shared_ptr<IoQueueLedger> ledger, Shard& shard,
                                  const ControllerOptions& controller,
                                  const IoQueuePairOptions& options);

  /// On which all calls are made.
  Shard& shard() { return shard_; }
  /// Its queue id, the controller's own: 1 and up. [Base 2.1 §3.3]
  std::uint16_t qid() const { return queue_pair_.qid(); }
  /// As they are in force.
  const IoQueuePairOptions& options() const { return options_; }
  /// Commands are sent while it is kLive.
  QueueState state() const { return queue_pair_.state(); }
  /// Who disconnected it last; kNone once it connects again.
  QueueFailure failure() const { return failure_; }
  /// Why it was last disconnected, a sentence; empty if it never was.
  const std::string& failure_text() const { return failure_text_; }
  /// Whether it is a member of a PollGroup.
  bool in_group() const { return group_ != nullptr; }
  /// Counts since it was allocated.
  const IoQueuePairStatistics& statistics() const { return statistics_; }
  /// Commands at the device.
  std::uint32_t outstanding() const { return outstanding_count_; }
  /// Commands that wait for room at the device, or for the connection.
  std::uint32_t waiting() const { return queued_count_; }
  /// How many more submit() would take now.
  std::uint32_t free_requests() const { return options_.requests - used_count_; }
  /// Whether submit() takes commands: it is connected or connecting, and its controller is there.
  bool usable() const;
  /// Whether process_completions() would run callbacks without a poll.
  bool has_completions() const { return completed_count_ > 0 || wake_due_; }

  /// Begins to connect: 0; -EISCONN when it is not disconnected; what IoQueueLedger::error() says
  /// when the controller cannot have it now; -ENOSPC when a reset left fewer queues than its id.
  int connect();
  /// Begins to close. What is outstanding or waits ends with Aborted - SQ Deletion, in
  /// process_completions(). Harmless when disconnected.
  void disconnect();
  /// As connect(), for a queue pair that was connected before; 0 when it still is, -EAGAIN while it
  /// is being closed.
  int reconnect();
  /// Polls until it is connected (success) or disconnected (why). Not from within a turn.
  Status wait_connected();
  /// Has the host authenticated once more on this queue pair, with the keys that its controller has
  /// now; I/O goes on. 0; -ENOTCONN unless it is live, -EBUSY while that runs, -EINVAL without a
  /// key. A failure is for the caller to act on. [Base 2.3 §8.3.5]
  int authenticate();
  /// How authenticate() went, the last time; nothing while it runs, and before.
  const std::optional<Status>& authentication() const { return authentication_; }
  /// DNR of the status of commands that end because the queue pair is closed.
  void set_abort_dnr(bool dnr) { abort_dnr_ = dnr; }

  /// Takes a command, which is copied; 0 or an error of the list at the top of this file. It never
  /// calls back from within.
  int submit(const IoCommand& command);
  /// Polls once, then runs up to `max` callbacks (0: all that can run now). Returns how many ran;
  /// -ENXIO when none did and none will.
  int process_completions(std::uint32_t max = 0);

  /// `limit` of zero: no timeouts. The callback runs in process_completions().
  void set_timeout(Duration limit, TimedOut timed_out, void* context);
  /// Lets commands of an opcode end with an error of the caller's; see InjectedError.
  void inject_error(const InjectedError& error) { injector_.add(error); }
  /// Ends what inject_error() began for `opcode`.
  void remove_injected_error(std::uint8_t opcode) { injector_.remove(opcode); }

  /// Ends commands with `tag` that still wait, with Abort Requested; and calls
  /// `outstanding(cid)` for those at the device. Returns how many there were of both.
  template <typename Outstanding>
  unsigned abort_matching(void* tag, Outstanding outstanding);

  // The machinery's.
  /// The controller closed all its queue pairs: `failure` and `reason` say why.
  void controller_closed(QueueFailure failure, const std::string& reason);
  /// Runs callbacks without a poll.
  int reap(std::uint32_t max);
  /// What it shares with its controller.
  const IoQueueLedger& ledger() const { return *ledger_; }

 private:
  friend class PollGroup;
  using RequestList = IntrusiveList<IoRequest, IoRequestTag>;

  IoQueuePair(std::shared_ptr<IoQueueLedger> ledger, Shard& shard, std::uint16_t qid,
              const ControllerOptions& controller, const IoQueuePairOptions& options,
              std::shared_ptr<IoQueueLedger::Member> member);
  ~IoQueuePair();

  void queue_connected(std::uint16_t qid) override;
  void queue_disconnected(std::uint16_t qid, const Error& reason) override;
  void queue_live(bool sq_flow_control_disabled) override;
  void queue_authenticated(const Status& status) override;

  bool start(IoRequest& request);
  void device_done(IoRequest& request, spec::NvmeStatus status, const spec::CompletionEntry& entry);
  void complete(IoRequest& request, spec::NvmeStatus status);
  void stage(IoRequest& request);
  void on_wake();
  void arm_wake(Instant when);
  void release_delayed();
  void check_timeouts();
  void resubmit();
  void abort_queued();
  void finish(IoRequest& request);
  void free();
  void destroy_if_done();
  spec::NvmeStatus aborted() const;

  const std::shared_ptr<IoQueueLedger> ledger_;
  Shard& shard_;
  const IoQueuePairOptions options_;
  const std::shared_ptr<IoQueueLedger::Member> member_;
  QueuePair queue_pair_;
  QueueConnect connect_;
  std::uint16_t cntlid_ = 0;
  PollGroup* group_ = nullptr;
  QueueFailure failure_ = QueueFailure::kNone;
  QueueFailure closing_as_ = QueueFailure::kNone;  ///< set by whoever disconnects
  std::string failure_text_;
  bool authenticating_ = false;
  std::optional<Status> authentication_;
  bool abort_dnr_ = false;

  std::unique_ptr<IoRequest[]> requests_;
  RequestList free_;
  RequestList queued_;       ///< beyond the depth, or before the connection, oldest first
  RequestList outstanding_;  ///< at the device, oldest first
  RequestList delayed_;      ///< held back by an injected error
  RequestList completed_;    ///< whose callbacks have not run
  std::uint32_t used_count_ = 0;
  std::uint32_t queued_count_ = 0;
  std::uint32_t outstanding_count_ = 0;
  std::uint32_t completed_count_ = 0;
  std::uint32_t callback_depth_ = 0;
  bool freeing_ = false;
  bool wake_due_ = false;
  ErrorInjector injector_;
  Duration timeout_ = Duration::zero();
  TimedOut timed_out_ = nullptr;
  void* timed_out_context_ = nullptr;
  IoQueuePairStatistics statistics_;
  Timer wake_;  ///< so that a shard that sleeps looks at delays and timeouts
  Deferred destroy_;
};

template <typename Outstanding>
unsigned IoQueuePair::abort_matching(void* tag, Outstanding outstanding) {
  CHECK_ON(shard_);
  unsigned found = 0;
  for (auto at = queued_.begin(); at != queued_.end();) {
    IoRequest& request = *at;
    ++at;
    if (request.tag == tag) {
      RequestList::remove(request);
      queued_count_--;
      found++;
      complete(request, spec::NvmeStatus::make(spec::GenericStatus::kAbortRequested));
    }
  }
  for (IoRequest& request : outstanding_) {
    if (request.tag == tag) {
      found++;
      outstanding(request.cid);
    }
  }
  return found;
}

}  // namespace nvublk::nvme
