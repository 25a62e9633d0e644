#include "nvme/io_queue_pair.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <utility>

#include "engine/check.h"
#include "nvme/poll_group.h"

namespace nvublk::nvme {

namespace {

Status check(const IoQueuePairOptions& options, const ControllerOptions& controller) {
  if (options.priority != QueuePriority::kUrgent && !controller.arbitration.weighted) {
    return fail(ErrorCode::kUnsupported,
                "queue priorities need weighted round robin arbitration; with round robin only "
                "urgent is possible");
  }
  if (options.requests > IoQueuePairOptions::kMaxRequests) {
    return fail(ErrorCode::kInvalidArgument,
                "a queue pair has at most " + std::to_string(IoQueuePairOptions::kMaxRequests) +
                    " requests, not " + std::to_string(options.requests));
  }
  if (options.interrupts && options.delay_submit) {
    return fail(ErrorCode::kInvalidArgument,
                "a queue pair that waits for interrupts cannot delay its submissions to the next "
                "poll; set delay_submit to false");
  }
  return {};
}

Status check_memory(const char* queue, std::span<const std::byte> memory,
                    std::size_t length_bytes) {
  constexpr std::size_t kPage = 4096;
  if (memory.empty()) {
    return {};
  }
  if (reinterpret_cast<std::uintptr_t>(memory.data()) % kPage != 0) {
    return fail(ErrorCode::kInvalidArgument, "memory for a " + std::string(queue) +
                                                 " queue begins at a page; use aligned_alloc or "
                                                 "mmap");
  }
  const std::size_t needed = (length_bytes + kPage - 1) / kPage * kPage;
  if (memory.size() < needed) {
    return fail(ErrorCode::kInvalidArgument, "this " + std::string(queue) + " queue needs " +
                                                 std::to_string(needed) + " bytes of memory, not " +
                                                 std::to_string(memory.size()));
  }
  return {};
}

Status check_memory(const IoQueuePairOptions& options, bool fabrics) {
  const QueueMemory& memory = options.memory;
  if (fabrics && (!memory.sq.empty() || !memory.cq.empty())) {
    return fail(ErrorCode::kUnsupported,
                "only a local drive's queues can be in memory of the application; leave `memory` "
                "empty over a fabric");
  }
  const std::size_t entries = std::size_t{options.queue_size} + 1;
  Status status = check_memory("submission", memory.sq, entries * spec::kSubmissionEntryBytes);
  return status ? check_memory("completion", memory.cq, entries * spec::kCompletionEntryBytes)
                : status;
}

QueueFailure failure_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kDisconnected:
    case ErrorCode::kUnreachable:
    case ErrorCode::kNvmeStatus:
    case ErrorCode::kPermission:
    case ErrorCode::kBusy:
      return QueueFailure::kRemote;
    default:
      return QueueFailure::kUnknown;
  }
}

}  // namespace

Result<IoQueuePair::Pointer> IoQueuePair::allocate(std::shared_ptr<IoQueueLedger> ledger,
                                                   Shard& shard,
                                                   const ControllerOptions& controller,
                                                   const IoQueuePairOptions& options) {
  CHECK_ON(shard);
  if (Status status = check(options, controller); !status) {
    return std::unexpected(std::move(status.error()));
  }
  if (!options.create_only && !options.async && shard.reactor().turning()) {
    return fail(ErrorCode::kBusy,
                "a queue pair cannot be waited for from within a turn; allocate it with async");
  }
  auto member = std::make_shared<IoQueueLedger::Member>();
  member->shard = &shard;
  const Result<std::uint16_t> qid = ledger->join(member);
  if (!qid) {
    return std::unexpected(qid.error());
  }
  const Result<IoQueueGrant> grant = ledger->grant();
  if (!grant) {
    ledger->leave(member, *qid);
    return std::unexpected(grant.error());
  }
  IoQueuePairOptions used = options;
  used.queue_size = options.queue_size == 0 ? controller.queue_size : options.queue_size;
  used.queue_size =
      std::clamp(used.queue_size, 1u, std::min(grant->max_commands, RequestTable::kMaxSlots));
  used.requests = options.requests == 0 ? controller.io_queue_requests : options.requests;
  used.requests = std::max(used.requests, used.queue_size);
  if (Status status = check_memory(used, ledger->transport().limits().fabrics); !status) {
    ledger->leave(member, *qid);
    return std::unexpected(std::move(status.error()));
  }
  Pointer made(new IoQueuePair(std::move(ledger), shard, *qid, controller, used, member));
  if (options.create_only) {
    return made;
  }
  if (made->connect() != 0) {
    return fail(ErrorCode::kBusy, "the controller went away while the queue pair was made");
  }
  if (!options.async) {
    if (Status status = made->wait_connected(); !status) {
      return std::unexpected(std::move(status.error()));
    }
  }
  return made;
}

IoQueuePair::IoQueuePair(std::shared_ptr<IoQueueLedger> ledger, Shard& shard, std::uint16_t qid,
                         const ControllerOptions& controller, const IoQueuePairOptions& options,
                         std::shared_ptr<IoQueueLedger::Member> member)
    : ledger_(std::move(ledger)),
      shard_(shard),
      options_(options),
      member_(std::move(member)),
      queue_pair_(shard, qid, options.queue_size, controller.io_timeout, *this),
      connect_(queue_pair_, controller, *this, static_cast<std::uint8_t>(options.priority)),
      requests_(std::make_unique<IoRequest[]>(options.requests)),
      wake_([](Timer&, void* self) { static_cast<IoQueuePair*>(self)->on_wake(); }, this),
      destroy_(
          [](Deferred&, void* context) {
            auto* self = static_cast<IoQueuePair*>(context);
            self->reap(0);
          },
          this) {
  member_->queue = this;
  for (std::uint32_t i = 0; i < options.requests; i++) {
    requests_[i].queue = this;
    free_.push_back(requests_[i]);
  }
}

IoQueuePair::~IoQueuePair() {
  CHECK(queued_.empty() && outstanding_.empty() && delayed_.empty() && completed_.empty());
  shard_.reactor().cancel(wake_);
  shard_.reactor().cancel(destroy_);
  if (group_ != nullptr) {
    group_->forget(*this);
  }
  member_->queue = nullptr;
  ledger_->leave(member_, qid());
  while (!free_.empty()) {
    free_.pop_front();
  }
}

int IoQueuePair::connect() {
  CHECK_ON(shard_);
  if (freeing_) {
    return -ENXIO;
  }
  if (state() != QueueState::kDisconnected) {
    return -EISCONN;
  }
  if (const int error = ledger_->error(); error != 0) {
    return error;
  }
  const Result<IoQueueGrant> grant = ledger_->grant();
  if (!grant) {
    return ledger_->error();
  }
  if (qid() > grant->queue_count || options_.queue_size > grant->max_commands) {
    return -ENOSPC;
  }
  cntlid_ = grant->cntlid;
  closing_as_ = QueueFailure::kNone;
  failure_ = QueueFailure::kNone;
  QueueTransportOptions transport;
  transport.qid = qid();
  transport.priority = static_cast<std::uint8_t>(options_.priority);
  transport.cntlid = grant->cntlid;
  transport.in_capsule_bytes = grant->in_capsule_bytes;
  transport.max_descriptors = grant->max_descriptors;
  transport.memory = options_.memory;
  queue_pair_.connect(ledger_->transport(), transport);
  return 0;
}

int IoQueuePair::reconnect() {
  if (const int error = ledger_->error(); error != 0) {
    return error;
  }
  if (state() == QueueState::kLive) {
    return 0;
  }
  if (state() == QueueState::kDisconnecting) {
    return -EAGAIN;
  }
  return connect();
}

void IoQueuePair::disconnect() {
  CHECK_ON(shard_);
  if (state() == QueueState::kDisconnected || state() == QueueState::kDisconnecting) {
    return;
  }
  closing_as_ = QueueFailure::kLocal;
  queue_pair_.disconnect(Error::make(ErrorCode::kCancelled, "disconnected by the application"));
}

void IoQueuePair::controller_closed(QueueFailure failure, const std::string& reason) {
  if (state() == QueueState::kDisconnected || state() == QueueState::kDisconnecting) {
    return;
  }
  closing_as_ = failure;
  queue_pair_.disconnect(Error::make(ErrorCode::kCancelled, reason));
}

Status IoQueuePair::wait_connected() {
  CHECK_ON(shard_);
  while (state() == QueueState::kConnecting || state() == QueueState::kDisconnecting) {
    shard_.reactor().turn_or_wait();
  }
  if (state() == QueueState::kLive) {
    return {};
  }
  return fail(ErrorCode::kDisconnected, failure_text_.empty()
                                            ? "the queue pair is not connected; connect it first"
                                            : failure_text_);
}

void IoQueuePair::queue_connected(std::uint16_t) {
  connect_.set_keys(ledger_->keys());
  connect_.start(ledger_->transport().limits().fabrics, cntlid_);
}

int IoQueuePair::authenticate() {
  CHECK_ON(shard_);
  if (state() != QueueState::kLive) {
    return -ENOTCONN;
  }
  if (authenticating_) {
    return -EBUSY;
  }
  const DhchapKeys keys = ledger_->keys();
  if (keys.key.empty()) {
    return -EINVAL;
  }
  connect_.set_keys(keys);
  authentication_.reset();
  authenticating_ = connect_.authenticate();
  return authenticating_ ? 0 : -EBUSY;
}

void IoQueuePair::queue_authenticated(const Status& status) {
  authenticating_ = false;
  authentication_ = status;
}

// What waited leaves in the order in which it came.
void IoQueuePair::queue_live(bool) {
  resubmit();
}

void IoQueuePair::queue_disconnected(std::uint16_t, const Error& reason) {
  connect_.cancel();
  if (authenticating_) {
    queue_authenticated(std::unexpected(reason));
  }
  failure_ = closing_as_ != QueueFailure::kNone ? closing_as_ : failure_of(reason);
  failure_text_ = reason.step.empty() ? reason.text : reason.text + " (" + reason.step + ")";
  abort_queued();
  wake_due_ = true;  // an injected delay ends with the connection
  if (freeing_) {
    shard_.reactor().defer(destroy_);
  }
}

bool IoQueuePair::usable() const {
  if (freeing_ || ledger_->error() != 0) {
    return false;
  }
  return state() == QueueState::kLive || state() == QueueState::kConnecting;
}

spec::NvmeStatus IoQueuePair::aborted() const {
  return spec::NvmeStatus::make(spec::GenericStatus::kAbortedSqDeletion, abort_dnr_);
}

int IoQueuePair::submit(const IoCommand& command) {
  CHECK_ON(shard_);
  std::uint64_t length = 0;
  for (std::uint32_t i = 0; i < command.iov_count; i++) {
    length += command.iov[i].iov_len;
  }
  if (command.done == nullptr || length > std::numeric_limits<std::uint32_t>::max()) {
    return -EINVAL;
  }
  if (!usable()) {
    return -ENXIO;
  }
  if (free_.empty()) {
    return -ENOMEM;
  }
  IoRequest& request = free_.pop_front();
  used_count_++;
  request.sqe = command.sqe;
  request.iov = command.iov;
  request.iov_count = command.iov_count;
  request.length_bytes = static_cast<std::uint32_t>(length);
  request.metadata = command.metadata;
  request.metadata_bytes = command.metadata_bytes;
  request.done = command.done;
  request.context = command.context;
  request.tag = command.tag != nullptr ? command.tag : command.context;
  request.timeout_reported = false;
  request.deadline = kNever;
  request.cqe = spec::CompletionEntry{};
  request.injected = injector_.empty() ? InjectedOutcome{} : injector_.take(command.sqe.opcode);
  if (request.injected.do_not_submit) {
    complete(request, request.injected.status);
  } else if (!queued_.empty() || !start(request)) {
    queued_.push_back(request);
    queued_count_++;
    statistics_.queued++;
  }
  if (!options_.delay_submit && !shard_.reactor().turning()) {
    shard_.reactor().flush_now();
  }
  return 0;
}

// False when there is no room: then nothing has happened.
bool IoQueuePair::start(IoRequest& request) {
  if (state() != QueueState::kLive) {
    return false;
  }
  Request* slot = queue_pair_.acquire();
  if (slot == nullptr) {
    return false;
  }
  slot->sqe = request.sqe;
  slot->iov = request.iov;
  slot->iov_count = request.iov_count;
  slot->length_bytes = request.length_bytes;
  slot->metadata = request.metadata;
  slot->metadata_bytes = request.metadata_bytes;
  slot->context = &request;
  slot->done = [](void* context, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    auto* done = static_cast<IoRequest*>(context);
    done->queue->device_done(*done, status, entry);
  };
  request.cid = slot->cid;
  if (timeout_ != Duration::zero()) {
    request.deadline = shard_.reactor().now() + timeout_;
    arm_wake(request.deadline);
  }
  outstanding_.push_back(request);
  outstanding_count_++;
  statistics_.submitted++;
  shard_.reactor().add_in_flight(1);
  queue_pair_.submit(*slot, Duration::zero());
  return true;
}

void IoQueuePair::device_done(IoRequest& request, spec::NvmeStatus status,
                              const spec::CompletionEntry& entry) {
  RequestList::remove(request);
  outstanding_count_--;
  shard_.reactor().remove_in_flight(1);
  request.cqe = entry;
  // What the queue pair ends with a path error of its own was cut off with the connection.
  if (status.is(spec::PathStatus::kHostPathError) && state() != QueueState::kLive) {
    status = aborted();
  } else if (request.injected.strikes) {
    status = request.injected.status;
  }
  complete(request, status);
}

void IoQueuePair::complete(IoRequest& request, spec::NvmeStatus status) {
  request.status = status;
  request.cqe.set_status(status);
  const Duration delay = std::exchange(request.injected.delay, Duration::zero());
  if (delay == Duration::zero() || freeing_ || state() == QueueState::kDisconnected) {
    stage(request);
    return;
  }
  request.release = shard_.reactor().now() + delay;
  delayed_.push_back(request);
  arm_wake(request.release);
}

void IoQueuePair::stage(IoRequest& request) {
  completed_.push_back(request);
  completed_count_++;
}

void IoQueuePair::on_wake() {
  wake_due_ = true;
}

void IoQueuePair::arm_wake(Instant when) {
  if (!wake_.armed() || wake_.deadline() > when) {
    shard_.reactor().arm(wake_, when);
  }
}

void IoQueuePair::release_delayed() {
  const Instant now = shard_.reactor().now();
  for (auto at = delayed_.begin(); at != delayed_.end();) {
    IoRequest& request = *at;
    ++at;
    if (request.release <= now || freeing_ || state() == QueueState::kDisconnected) {
      RequestList::remove(request);
      stage(request);
    } else {
      arm_wake(request.release);
    }
  }
}

// The callback may change everything, so each round looks for one command only.
void IoQueuePair::check_timeouts() {
  const Instant now = shard_.reactor().now();
  for (bool found = timed_out_ != nullptr; found;) {
    found = false;
    for (IoRequest& request : outstanding_) {
      if (request.timeout_reported) {
        continue;
      }
      if (request.deadline > now) {
        arm_wake(request.deadline);
        continue;
      }
      request.timeout_reported = true;
      found = true;
      timed_out_(timed_out_context_, *this, request.cid);
      break;
    }
  }
}

void IoQueuePair::set_timeout(Duration limit, TimedOut timed_out, void* context) {
  CHECK_ON(shard_);
  timeout_ = timed_out == nullptr ? Duration::zero() : limit;
  timed_out_ = timed_out;
  timed_out_context_ = context;
}

void IoQueuePair::resubmit() {
  while (!queued_.empty()) {
    IoRequest& request = queued_.front();
    RequestList::remove(request);
    if (!start(request)) {
      queued_.push_front(request);
      return;
    }
    queued_count_--;
  }
}

void IoQueuePair::abort_queued() {
  while (!queued_.empty()) {
    queued_count_--;
    complete(queued_.pop_front(), aborted());
  }
}

void IoQueuePair::finish(IoRequest& request) {
  const IoCommand::Done done = request.done;
  void* context = request.context;
  const spec::NvmeStatus status = request.status;
  const spec::CompletionEntry entry = request.cqe;
  // The last one to be used is the first to be used again: its memory is warm.
  free_.push_front(request);
  used_count_--;
  done(context, status, entry);
}

int IoQueuePair::process_completions(std::uint32_t max) {
  CHECK_ON(shard_);
  if (!shard_.reactor().turning()) {
    shard_.reactor().turn(false);
  }
  return reap(max);
}

int IoQueuePair::reap(std::uint32_t max) {
  callback_depth_++;
  if (std::exchange(wake_due_, false) || freeing_) {
    release_delayed();
    check_timeouts();
  }
  // Only those that are there now: a callback may add more without end.
  std::uint32_t limit = max == 0 ? completed_count_ : std::min(max, completed_count_);
  int done = 0;
  while (limit > 0 && !completed_.empty()) {
    IoRequest& request = completed_.pop_front();
    completed_count_--;
    limit--;
    done++;
    finish(request);
  }
  resubmit();
  callback_depth_--;
  statistics_.polls++;
  statistics_.completions += static_cast<std::uint64_t>(done);
  if (done == 0) {
    statistics_.idle_polls++;
  }
  if (freeing_) {
    destroy_if_done();
    return done;
  }
  const bool dead = state() == QueueState::kDisconnected || ledger_->error() == -ENXIO ||
                    ledger_->error() == -ENODEV;
  return done == 0 && dead && completed_.empty() && delayed_.empty() ? -ENXIO : done;
}

void IoQueuePair::free() {
  CHECK_ON(shard_);
  CHECK(!freeing_);
  freeing_ = true;
  disconnect();
  abort_queued();
  if (shard_.reactor().turning()) {
    shard_.reactor().defer(destroy_);
    return;
  }
  callback_depth_++;
  while (state() != QueueState::kDisconnected) {
    shard_.reactor().turn_or_wait();
  }
  release_delayed();
  callback_depth_--;
  reap(0);
}

// Whatever ends last, the close or a callback, comes through here.
void IoQueuePair::destroy_if_done() {
  if (callback_depth_ > 0 || state() != QueueState::kDisconnected) {
    return;
  }
  if (!completed_.empty() || !delayed_.empty()) {
    shard_.reactor().defer(destroy_);
    return;
  }
  delete this;
}

}  // namespace nvublk::nvme
