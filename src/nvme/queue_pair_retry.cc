// QueuePair, commands that get no answer in time and those that are to be tried again.

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "nvme/namespace_queue.h"
#include "nvme/queue_pair.h"

namespace nvublk::nvme {

namespace {

bool is_transient(spec::NvmeStatus status) {
  return status.is(spec::GenericStatus::kTransientTransportError) ||
         status.is(spec::GenericStatus::kCommandInterrupted) ||
         status.is(spec::GenericStatus::kNamespaceNotReady) ||
         status.is(spec::GenericStatus::kAbortedSqDeletion) ||
         status.sct() == spec::StatusCodeType::kPath;
}

}  // namespace

// Block requests but appends are idempotent: carried out twice, they leave what they leave when
// carried out once; a write to a zone then fails the second time. A status with a retry delay asks
// for another try whatever it is.
bool QueuePair::should_retry(const BlockRequest& block, spec::NvmeStatus status,
                             bool aborted) const {
  if (status.dnr() || block.op == BlockOp::kZoneAppend || block.attempts > policy_.retries ||
      fail_all_error_ != 0 || static_cast<NamespaceQueue*>(block.queue)->retired() != 0) {
    return false;
  }
  return is_transient(status) || status.crd() != 0 ||
         (aborted && status.is(spec::GenericStatus::kAbortRequested));
}

// CRD. [Base 2.1 §4.2.3]
void QueuePair::retry(BlockRequest& block, spec::NvmeStatus status) {
  const Duration delay =
      status.crd() == 0 ? Duration::zero() : retry_delays_[status.crd() - std::size_t{1}];
  if (delay == Duration::zero()) {
    waiting_.push_front(block);
    return;
  }
  block.retry_at = shard_.reactor().now() + delay;
  auto later = delayed_.begin();
  while (later != delayed_.end() && (*later).retry_at <= block.retry_at) {
    ++later;
  }
  if (later == delayed_.end()) {
    delayed_.push_back(block);
  } else {
    delayed_.insert_before(*later, block);
  }
  shard_.reactor().arm(retry_timer_, delayed_.front().retry_at);
}

void QueuePair::on_retry_timer() {
  const Instant now = shard_.reactor().now();
  IntrusiveList<BlockRequest, BlockRequestTag> due;
  while (!delayed_.empty() && delayed_.front().retry_at <= now) {
    due.push_back(delayed_.pop_front());
  }
  waiting_.splice_front(due);
  if (!delayed_.empty()) {
    shard_.reactor().arm(retry_timer_, delayed_.front().retry_at);
  }
  pump();
}

// What waits for its time waits like all others from now on.
void QueuePair::undelay() {
  waiting_.splice_front(delayed_);
  shard_.reactor().cancel(retry_timer_);
}

void QueuePair::on_timer() {
  const Instant now = shard_.reactor().now();
  Instant next = kNever;
  for (Request& request : outstanding_) {
    if (request.deadline <= now && !expire(request, now)) {
      return;
    }
    next = std::min(next, request.deadline);
  }
  if (next != kNever) {
    shard_.reactor().arm(timer_, next);
  }
}

// False: the queue pair closes. The admin queue's commands are needed to go on at all, so there is
// no choice for them.
bool QueuePair::expire(Request& request, Instant now) {
  const TimeoutAction action = qid_ == 0 ? TimeoutAction::kReset : timeouts_.action;
  const std::string text = "no answer to command " + std::to_string(request.cid) + " (opcode " +
                           std::to_string(request.sqe.opcode) + ") on queue " +
                           std::to_string(qid_) + " in time";
  if (action == TimeoutAction::kReset || request.abort_sent) {
    disconnect(
        Error::make(ErrorCode::kTimeout, text + (request.abort_sent ? ", nor to its abort" : "")));
    return false;
  }
  const bool aborts = action == TimeoutAction::kAbort;
  if (log_limiter_.allow(now)) {
    log_warning("nvme", text + (aborts ? "; it is aborted" : "; it may go on"));
  }
  request.deadline = aborts ? now + timeouts_.abort : kNever;
  if (aborts) {
    request.abort_sent = true;
    owner_.command_timed_out(qid_, request.cid);
  }
  return true;
}

}  // namespace nvublk::nvme
