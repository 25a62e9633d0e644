#pragma once

// The admin commands of a controller's user, beside those that its own sequences send: they wait in
// order when the queue is full, may be aborted, and may be made to fail. Shard-affine to the admin
// queue's shard.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "engine/intrusive_list.h"
#include "nvme/error_injection.h"
#include "nvme/queue_pair.h"

namespace nvublk::nvme {

struct AdminEntryTag;

/// One admin command. `data` has to stay until `done` has run.
struct AdminCommand {
  /// How the command ended: its status, and the completion entry (DW0 and DW1 are the result), or
  /// one made here when there was no answer.
  using Done = std::function<void(spec::NvmeStatus status, const spec::CompletionEntry& entry)>;

  spec::SubmissionEntry sqe;  ///< complete but for the CID and the data pointer
  /// In or out, as the opcode says; empty: none. What a controller does not send stays as it was.
  std::span<std::byte> data{};
  /// Past it the admin queue is closed; zero: it may take for ever.
  Duration timeout = Duration::zero();
  void* tag = nullptr;  ///< what abort() looks for
  Done done;            ///< runs once, on the admin queue's shard; may be empty
};

/// See the top of this file. Controller::admin() has that of a controller.
class AdminCommands {
 public:
  /// `cid` of a command that took longer than set_timeout() says; it goes on.
  using TimedOut = std::function<void(std::uint16_t cid)>;

  /// `staged`: completions wait for process(); else they run when they arrive.
  AdminCommands(QueuePair& queue, bool staged);
  ~AdminCommands();
  AdminCommands(const AdminCommands&) = delete;
  AdminCommands& operator=(const AdminCommands&) = delete;

  /// The queue is live; `abort_limit` Abort commands may be outstanding.
  void open(std::uint32_t abort_limit);
  /// What waits ends with Aborted - SQ Deletion; what is outstanding ends with its queue.
  void close();

  /// 0, or -ENXIO while the queue is not open.
  int submit(AdminCommand command);
  /// Sends Abort for command `cid` of submission queue `sqid`, when the limit allows it.
  /// [Base 2.1 §5.1.1] `done` gets whether it was aborted: bit 0 of DW0 is 0 then.
  int abort(std::uint16_t sqid, std::uint16_t cid, AdminCommand::Done done);
  /// Ends commands with `tag` that still wait, with Abort Requested, and sends Abort for those at
  /// the device; how many there were.
  unsigned abort_tagged(void* tag);

  /// Runs the callbacks of what has completed; how many.
  unsigned process();
  /// Commands at the device, Abort included.
  std::uint32_t outstanding() const { return outstanding_count_; }

  /// Zero: none.
  void set_timeout(Duration limit, TimedOut timed_out);
  /// The next commands with an opcode end as `error` says.
  void inject_error(const InjectedError& error) { injector_.add(error); }
  /// Ends what inject_error() began for `opcode`.
  void remove_injected_error(std::uint8_t opcode) { injector_.remove(opcode); }

 private:
  struct Entry : ListHook<AdminEntryTag> {
    AdminCommands* owner = nullptr;
    AdminCommand command;
    std::uint16_t cid = 0;
    bool is_abort = false;
    bool timeout_reported = false;
    Instant deadline = kNever;
    Instant release = kNever;
    InjectedOutcome injected;
    spec::NvmeStatus status;
    spec::CompletionEntry entry;
  };
  using List = IntrusiveList<Entry, AdminEntryTag>;

  int enqueue(AdminCommand command, bool is_abort);
  void pump();
  void pump_list(List& list);
  bool has_room(const Entry& entry) const;
  void send(Entry& entry);
  void device_done(Entry& entry, spec::NvmeStatus status, const spec::CompletionEntry& cqe);
  void complete(Entry& entry, spec::NvmeStatus status);
  void stage(Entry& entry);
  void finish(Entry& entry);
  void on_wake();
  void arm_wake(Instant when);
  void check_timeouts();

  QueuePair& queue_;
  const bool staged_;
  bool open_ = false;
  std::uint32_t limit_ = 1;
  std::uint32_t abort_limit_ = 1;
  std::uint32_t outstanding_count_ = 0;
  std::uint32_t aborts_outstanding_ = 0;
  List waiting_;
  List waiting_aborts_;
  List outstanding_;
  List delayed_;
  List completed_;
  ErrorInjector injector_;
  Duration timeout_ = Duration::zero();
  TimedOut timed_out_;
  Timer wake_;
};

}  // namespace nvublk::nvme
