#include "nvme/queue_pair.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "engine/check.h"
#include "nvme/namespace_queue.h"
#include "nvme/status_text.h"

namespace nvublk::nvme {

QueuePair::QueuePair(Shard& shard, std::uint16_t qid, std::uint32_t depth, Duration command_timeout,
                     QueuePairOwner& owner, const QueuePairPolicy& policy)
    : shard_(shard),
      qid_(qid),
      timeouts_{.io = command_timeout},
      owner_(owner),
      policy_(policy),
      requests_(depth),
      timer_([](Timer&, void* self) { static_cast<QueuePair*>(self)->on_timer(); }, this),
      retry_timer_([](Timer&, void* self) { static_cast<QueuePair*>(self)->on_retry_timer(); },
                   this),
      closed_([](Deferred&, void* self) { static_cast<QueuePair*>(self)->on_closed(); }, this) {}

QueuePair::~QueuePair() {
  CHECK(state() == QueueState::kDisconnected && outstanding_.empty() && waiting_.empty() &&
        delayed_.empty() && slot_waiters_.empty());
  shard_.reactor().cancel(timer_);
  shard_.reactor().cancel(retry_timer_);
  shard_.reactor().cancel(closed_);
}

QueueStatus QueuePair::status() const {
  QueueStatus status;
  status.qid = qid_;
  status.state = state();
  status.in_controller_memory = in_controller_memory_.load(std::memory_order_relaxed);
  status.depth = requests_.size();
  status.outstanding = static_cast<std::uint32_t>(outstanding_count_.get());
  status.submitted = submitted_.get();
  status.completed = completed_.get();
  status.errors = errors_.get();
  return status;
}

StepView QueuePair::connect_step() const {
  return state() == QueueState::kConnecting && transport_ ? transport_->step() : StepView{};
}

void QueuePair::connect(Transport& transport, const QueueTransportOptions& options) {
  CHECK_ON(shard_);
  CHECK(state() == QueueState::kDisconnected && !transport_);
  state_.store(QueueState::kConnecting, std::memory_order_relaxed);
  transport_ = transport.make_queue(shard_, options, requests_, *this);
  transport_->connect();
}

void QueuePair::disconnect(Error reason) {
  CHECK_ON(shard_);
  if (state() == QueueState::kDisconnected || state() == QueueState::kDisconnecting) {
    return;
  }
  state_.store(QueueState::kDisconnecting, std::memory_order_relaxed);
  transport_->disconnect(std::move(reason));
}

void QueuePair::set_live() {
  CHECK_ON(shard_);
  if (state() == QueueState::kConnecting) {
    state_.store(QueueState::kLive, std::memory_order_relaxed);
    pump();
  }
}

void QueuePair::release() {
  CHECK_ON(shard_);
  held_ = false;
  pump();
}

void QueuePair::submit(Request& request, Duration timeout) {
  CHECK_ON(shard_);
  CHECK(request.active && request.done != nullptr && request.block == nullptr);
  if (!transport_ || state() == QueueState::kDisconnecting) {
    const auto status = spec::NvmeStatus::make(spec::PathStatus::kHostPathError);
    const Request::Done done = request.done;
    void* context = request.context;
    requests_.release(request);
    done(context, status, spec::CompletionEntry{});
    return;
  }
  send(request, timeout);
}

void QueuePair::wait_for_slot(SlotWaiter& waiter) {
  CHECK_ON(shard_);
  if (!can_start()) {
    waiter.no_slot();
    return;
  }
  slot_waiters_.push_back(waiter);
  pump_slot_waiters();
}

// A saturated queue has block requests waiting all the time; these few would never get a turn.
void QueuePair::pump_slot_waiters() {
  while (!slot_waiters_.empty() && can_start()) {
    Request* request = requests_.acquire();
    if (request == nullptr) {
      return;
    }
    slot_waiters_.pop_front().slot_free(*request);
  }
}

void QueuePair::fail_slot_waiters() {
  while (!slot_waiters_.empty()) {
    slot_waiters_.pop_front().no_slot();
  }
}

void QueuePair::send(Request& request, Duration timeout) {
  Reactor& reactor = shard_.reactor();
  request.deadline = timeout == Duration::zero() ? kNever : reactor.now() + timeout;
  request.abort_sent = false;
  if (request.deadline != kNever && (!timer_.armed() || timer_.deadline() > request.deadline)) {
    reactor.arm(timer_, request.deadline);
  }
  outstanding_.push_back(request);
  outstanding_count_.add();
  submitted_.add();
  request.sqe.cid = request.cid;
  transport_->submit(request);
}

void QueuePair::submit_block(BlockRequest& block) {
  block.attempts = 0;
  if (can_start() && waiting_.empty() && slot_waiters_.empty()) {
    if (Request* request = requests_.acquire()) {
      start_block(block, *request);
      return;
    }
  }
  if (const int error = waiting_error(); error != 0 && !can_start()) {
    block.error = error;
    block.done(block);
    return;
  }
  waiting_.push_back(block);
}

void QueuePair::start_block(BlockRequest& block, Request& request) {
  block.attempts++;
  request.block = &block;
  static_cast<NamespaceQueue*>(block.queue)->build(block, request);
  shard_.reactor().add_in_flight(1);
  send(request, timeouts_.io);
}

void QueuePair::pump() {
  pump_slot_waiters();
  while (!waiting_.empty() && can_start()) {
    Request* request = requests_.acquire();
    if (request == nullptr) {
      return;
    }
    start_block(waiting_.pop_front(), *request);
  }
}

void QueuePair::fail_waiting(int error_number) {
  CHECK_ON(shard_);
  fail_waiting_error_ = error_number;
  if (!can_start()) {
    fail_waiters();
  }
}

void QueuePair::fail_all(int error_number) {
  CHECK_ON(shard_);
  CHECK(error_number > 0);
  fail_all_error_ = error_number;
  fail_slot_waiters();
  fail_waiters();
}

void QueuePair::fail_waiters() {
  const int error = waiting_error();
  if (error == 0) {
    return;
  }
  undelay();
  while (!waiting_.empty()) {
    BlockRequest& block = waiting_.pop_front();
    block.error = error;
    block.done(block);
  }
}

// Callbacks may submit more, which a retired namespace refuses at once.
void QueuePair::fail_retired() {
  CHECK_ON(shard_);
  IntrusiveList<BlockRequest, BlockRequestTag> ended;
  for (auto* list : {&waiting_, &delayed_}) {
    for (auto at = list->begin(); at != list->end();) {
      BlockRequest& block = *at;
      ++at;
      if (static_cast<NamespaceQueue*>(block.queue)->retired() != 0) {
        IntrusiveList<BlockRequest, BlockRequestTag>::remove(block);
        ended.push_back(block);
      }
    }
  }
  while (!ended.empty()) {
    BlockRequest& block = ended.pop_front();
    block.error = static_cast<NamespaceQueue*>(block.queue)->retired();
    block.done(block);
  }
}

void QueuePair::abandon_retired() {
  fail_retired();
  for (const Request& request : outstanding_) {
    if (request.block != nullptr &&
        static_cast<NamespaceQueue*>(request.block->queue)->retired() != 0) {
      disconnect(Error::make(ErrorCode::kCancelled,
                             "a device with commands that have no answer is "
                             "taken away by force"));
      return;
    }
  }
}

void QueuePair::on_connected() {
  in_controller_memory_.store(transport_->in_controller_memory(), std::memory_order_relaxed);
  owner_.queue_connected(qid_);
}

void QueuePair::on_completion(const spec::CompletionEntry& entry) {
  Request* request = requests_.find(entry.cid.get());
  if (request == nullptr || !IntrusiveList<Request, RequestTag>::contains_anywhere(*request)) {
    disconnect(Error::make(ErrorCode::kProtocol,
                           "the controller completed command " + std::to_string(entry.cid.get()) +
                               " on queue " + std::to_string(qid_) + ", which is not outstanding"));
    return;
  }
  complete(*request, entry.status(), entry);
  pump_if_waiting();
}

void QueuePair::complete(Request& request, spec::NvmeStatus status,
                         const spec::CompletionEntry& entry) {
  IntrusiveList<Request, RequestTag>::remove(request);
  outstanding_count_.subtract();
  completed_.add();
  if (!status.ok()) {
    errors_.add();
  }
  if (BlockRequest* block = std::exchange(request.block, nullptr)) {
    requests_.release(request);
    shard_.reactor().remove_in_flight(1);
    complete_block(*block, entry, request.abort_sent);
    return;
  }
  const Request::Done done = request.done;
  void* context = request.context;
  requests_.release(request);
  done(context, status, entry);
}

void QueuePair::complete_block(BlockRequest& block, const spec::CompletionEntry& entry,
                               bool aborted) {
  const spec::NvmeStatus status = entry.status();
  if (status.ok()) {
    block.error = static_cast<NamespaceQueue*>(block.queue)->finish(block, entry);
  } else if (should_retry(block, status, aborted)) {
    retry(block, status);
    return;
  } else if (const int retired = static_cast<NamespaceQueue*>(block.queue)->retired()) {
    block.error = retired;
  } else {
    block.error = errno_of(status);
    log_failure(block, status);
  }
  block.done(block);
}

void QueuePair::log_failure(const BlockRequest& block, spec::NvmeStatus status) {
  if (!policy_.log_errors || !log_limiter_.allow(shard_.reactor().now())) {
    return;
  }
  static constexpr const char* kOpNames[] = {"read",        "write",        "flush",
                                             "discard",     "write zeroes", "zone append",
                                             "zone report", "zone open",    "zone close",
                                             "zone finish", "zone reset",   "reset of all zones"};
  const std::uint64_t suppressed = log_limiter_.take_suppressed();
  const std::string_view name = status_name(status);
  std::array<char, 240> text{};
  std::snprintf(
      text.data(), text.size(),
      "queue %u: %s of %u blocks at %llu failed: %.*s (type %xh code %02xh); %llu more not shown",
      qid_, kOpNames[static_cast<std::size_t>(block.op)], block.blocks,
      static_cast<unsigned long long>(block.lba), static_cast<int>(name.size()), name.data(),
      static_cast<unsigned>(status.sct()), status.sc(),
      static_cast<unsigned long long>(suppressed));
  log_warning("nvme", text.data());
}

bool QueuePair::may_change_media(const Request& request) const {
  const bool reads = request.sqe.direction() == spec::DataDirection::kControllerToHost;
  return qid_ != 0 && !reads && !request.sqe.is_fabrics();
}

// The block layer's commands go back to the head of those that wait, oldest first; appends, of
// which a second one would write once more, and the others end here with a path error. The
// transport has let go of all of them.
void QueuePair::requeue_outstanding() {
  IntrusiveList<BlockRequest, BlockRequestTag> again;
  IntrusiveList<Request, RequestTag> ended;
  ended.splice_front(outstanding_);
  cut_off_writes_ = false;
  while (!ended.empty()) {
    Request& request = ended.pop_front();
    outstanding_count_.subtract();
    cut_off_writes_ = cut_off_writes_ || may_change_media(request);
    if (BlockRequest* block = std::exchange(request.block, nullptr)) {
      shard_.reactor().remove_in_flight(1);
      requests_.release(request);
      block->attempts--;  // it was not the device that failed it
      if (block->op != BlockOp::kZoneAppend) {
        again.push_back(*block);
        continue;
      }
      block->error = errno_of(spec::NvmeStatus::make(spec::PathStatus::kHostPathError));
      block->done(*block);
      continue;
    }
    const Request::Done done = request.done;
    void* context = request.context;
    requests_.release(request);
    errors_.add();
    done(context, spec::NvmeStatus::make(spec::PathStatus::kHostPathError),
         spec::CompletionEntry{});
  }
  undelay();
  waiting_.splice_front(again);
  fail_retired();
}

void QueuePair::on_disconnected(Error reason) {
  state_.store(QueueState::kDisconnecting, std::memory_order_relaxed);
  disconnect_reason_ = std::move(reason);
  requeue_outstanding();
  fail_slot_waiters();
  shard_.reactor().cancel(timer_);
  // The transport is on the stack; what follows destroys it.
  shard_.reactor().defer(closed_);
}

void QueuePair::on_closed() {
  transport_.reset();
  state_.store(QueueState::kDisconnected, std::memory_order_relaxed);
  fail_waiters();
  owner_.queue_disconnected(qid_, disconnect_reason_);
}

}  // namespace nvublk::nvme
