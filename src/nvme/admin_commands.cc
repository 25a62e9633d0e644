#include "nvme/admin_commands.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "engine/check.h"
#include "nvme/command.h"

namespace nvublk::nvme {

namespace {

// Slots of the admin queue that the controller's own commands need: asynchronous event requests,
// the keep alive, a sequence, log pages that events ask for; and Abort commands, which must get
// through just when the queue is full.
constexpr std::uint32_t kAbortSlots = 4;
constexpr std::uint32_t kReservedSlots = 10 + kAbortSlots;

}  // namespace

AdminCommands::AdminCommands(QueuePair& queue, bool staged)
    : queue_(queue),
      staged_(staged),
      limit_(queue.depth() > kReservedSlots ? queue.depth() - kReservedSlots : 1),
      wake_([](Timer&, void* self) { static_cast<AdminCommands*>(self)->on_wake(); }, this) {}

AdminCommands::~AdminCommands() {
  CHECK(outstanding_.empty());
  close();
  queue_.shard().reactor().cancel(wake_);
  while (!completed_.empty()) {
    delete &completed_.pop_front();
  }
}

void AdminCommands::open(std::uint32_t abort_limit) {
  abort_limit_ = std::min(abort_limit, kAbortSlots);
  open_ = true;
  pump();
}

void AdminCommands::close() {
  open_ = false;
  for (List* list : {&waiting_aborts_, &waiting_}) {
    while (!list->empty()) {
      complete(list->pop_front(), spec::NvmeStatus::make(spec::GenericStatus::kAbortedSqDeletion));
    }
  }
  // An injected delay ends with what it delays.
  while (!delayed_.empty()) {
    stage(delayed_.pop_front());
  }
}

int AdminCommands::submit(AdminCommand command) {
  return enqueue(std::move(command), false);
}

int AdminCommands::abort(std::uint16_t sqid, std::uint16_t cid, AdminCommand::Done done) {
  AdminCommand command;
  command.sqe = command::abort(sqid, cid);
  command.done = std::move(done);
  return enqueue(std::move(command), true);
}

int AdminCommands::enqueue(AdminCommand command, bool is_abort) {
  CHECK_ON(queue_.shard());
  if (!open_) {
    return -ENXIO;
  }
  auto* entry = new Entry;
  entry->owner = this;
  entry->command = std::move(command);
  entry->is_abort = is_abort;
  entry->injected = injector_.take(entry->command.sqe.opcode);
  if (entry->injected.do_not_submit) {
    complete(*entry, entry->injected.status);
    return 0;
  }
  (is_abort ? waiting_aborts_ : waiting_).push_back(*entry);
  pump();
  return 0;
}

unsigned AdminCommands::abort_tagged(void* tag) {
  CHECK_ON(queue_.shard());
  unsigned found = 0;
  std::vector<std::uint16_t> cids;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    Entry& entry = *at;
    ++at;
    if (entry.command.tag == tag) {
      List::remove(entry);
      found++;
      complete(entry, spec::NvmeStatus::make(spec::GenericStatus::kAbortRequested));
    }
  }
  for (Entry& entry : outstanding_) {
    if (entry.command.tag == tag && !entry.is_abort) {
      found++;
      cids.push_back(entry.cid);
    }
  }
  for (const std::uint16_t cid : cids) {
    abort(0, cid, nullptr);
  }
  return found;
}

bool AdminCommands::has_room(const Entry& entry) const {
  if (entry.is_abort) {
    return open_ && aborts_outstanding_ < abort_limit_;
  }
  return open_ && outstanding_count_ - aborts_outstanding_ < limit_;
}

// Aborts go first: what they are for may be what fills the queue.
void AdminCommands::pump() {
  pump_list(waiting_aborts_);
  pump_list(waiting_);
}

void AdminCommands::pump_list(List& list) {
  while (!list.empty() && has_room(list.front())) {
    send(list.pop_front());
  }
}

void AdminCommands::send(Entry& entry) {
  Request* slot = queue_.acquire();
  if (slot == nullptr) {
    (entry.is_abort ? waiting_aborts_ : waiting_).push_front(entry);
    return;
  }
  slot->sqe = entry.command.sqe;
  slot->set_no_data();
  if (!entry.command.data.empty()) {
    slot->set_data(entry.command.data.data(),
                   static_cast<std::uint32_t>(entry.command.data.size()));
  }
  slot->context = &entry;
  slot->done = [](void* self, spec::NvmeStatus status, const spec::CompletionEntry& cqe) {
    auto* done = static_cast<Entry*>(self);
    done->owner->device_done(*done, status, cqe);
  };
  entry.cid = slot->cid;
  if (timeout_ != Duration::zero()) {
    entry.deadline = queue_.shard().reactor().now() + timeout_;
    arm_wake(entry.deadline);
  }
  outstanding_.push_back(entry);
  outstanding_count_++;
  aborts_outstanding_ += entry.is_abort ? 1 : 0;
  queue_.submit(*slot, entry.command.timeout);
}

void AdminCommands::device_done(Entry& entry, spec::NvmeStatus status,
                                const spec::CompletionEntry& cqe) {
  List::remove(entry);
  outstanding_count_--;
  aborts_outstanding_ -= entry.is_abort ? 1 : 0;
  entry.entry = cqe;
  // What the queue pair ends with a path error of its own was cut off with the connection.
  if (status.is(spec::PathStatus::kHostPathError) && queue_.state() != QueueState::kLive) {
    status = spec::NvmeStatus::make(spec::GenericStatus::kAbortedSqDeletion);
  } else if (entry.injected.strikes) {
    status = entry.injected.status;
  }
  complete(entry, status);
  pump();
}

void AdminCommands::complete(Entry& entry, spec::NvmeStatus status) {
  entry.status = status;
  entry.entry.set_status(status);
  const Duration delay = std::exchange(entry.injected.delay, Duration::zero());
  if (delay == Duration::zero() || !open_) {
    stage(entry);
    return;
  }
  entry.release = queue_.shard().reactor().now() + delay;
  delayed_.push_back(entry);
  arm_wake(entry.release);
}

void AdminCommands::stage(Entry& entry) {
  if (staged_) {
    completed_.push_back(entry);
  } else {
    finish(entry);
  }
}

void AdminCommands::finish(Entry& entry) {
  const std::unique_ptr<Entry> owned(&entry);
  if (owned->command.done) {
    owned->command.done(owned->status, owned->entry);
  }
}

unsigned AdminCommands::process() {
  List ready;  // what callbacks add waits for the next time
  ready.splice_front(completed_);
  unsigned done = 0;
  while (!ready.empty()) {
    done++;
    finish(ready.pop_front());
  }
  return done;
}

void AdminCommands::set_timeout(Duration limit, TimedOut timed_out) {
  timeout_ = timed_out ? limit : Duration::zero();
  timed_out_ = std::move(timed_out);
}

void AdminCommands::arm_wake(Instant when) {
  if (!wake_.armed() || wake_.deadline() > when) {
    queue_.shard().reactor().arm(wake_, when);
  }
}

void AdminCommands::on_wake() {
  const Instant now = queue_.shard().reactor().now();
  List due;
  for (auto at = delayed_.begin(); at != delayed_.end();) {
    Entry& entry = *at;
    ++at;
    if (entry.release <= now) {
      List::remove(entry);
      due.push_back(entry);
    } else {
      arm_wake(entry.release);
    }
  }
  while (!due.empty()) {
    stage(due.pop_front());
  }
  check_timeouts();
}

// The callback may change everything, so each round looks for one command only.
void AdminCommands::check_timeouts() {
  const Instant now = queue_.shard().reactor().now();
  for (bool found = static_cast<bool>(timed_out_); found;) {
    found = false;
    for (Entry& entry : outstanding_) {
      if (entry.timeout_reported) {
        continue;
      }
      if (entry.deadline > now) {
        arm_wake(entry.deadline);
        continue;
      }
      entry.timeout_reported = true;
      found = true;
      const TimedOut timed_out = timed_out_;
      timed_out(entry.cid);
      break;
    }
  }
}

}  // namespace nvublk::nvme
