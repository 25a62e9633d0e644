#include "nvme/io_queue_ledger.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "nvme/io_queue_pair.h"

namespace nvublk::nvme {

IoQueueLedger::IoQueueLedger(std::shared_ptr<Transport> transport)
    : transport_(std::move(transport)) {}

int IoQueueLedger::error() const {
  switch (availability()) {
    case QueueAvailability::kReady:
      return 0;
    case QueueAvailability::kConnecting:
    case QueueAvailability::kResetting:
      return -EAGAIN;
    case QueueAvailability::kFailed:
      return -ENXIO;
    case QueueAvailability::kRemoved:
      return -ENODEV;
  }
  return -ENXIO;
}

void IoQueueLedger::open(const IoQueueGrant& grant) {
  const std::lock_guard lock(mutex_);
  grant_ = grant;
  reason_.clear();
  // A reset may grant another number of queues; ids that are in use stay so.
  if (qid_taken_.size() < grant.queue_count) {
    qid_taken_.resize(grant.queue_count);
  }
  availability_.store(QueueAvailability::kReady, std::memory_order_relaxed);
}

void IoQueueLedger::close(QueueAvailability why, QueueFailure failure, const std::string& reason) {
  CHECK(why != QueueAvailability::kReady);
  const std::lock_guard lock(mutex_);
  availability_.store(why, std::memory_order_relaxed);
  reason_ = reason;
  for (const std::shared_ptr<Member>& member : members_) {
    // Posted under the lock: a member leaves before its shard can end.
    member->shard->post([member, failure, reason] {
      if (member->queue != nullptr) {
        member->queue->controller_closed(failure, reason);
      }
    });
  }
}

Result<IoQueueGrant> IoQueueLedger::grant_locked() const {
  const std::string because = reason_.empty() ? "" : " (" + reason_ + ")";
  switch (availability()) {
    case QueueAvailability::kReady:
      return grant_;
    case QueueAvailability::kConnecting:
      return fail(ErrorCode::kBusy, "the controller is still connecting; poll until it is ready");
    case QueueAvailability::kResetting:
      return fail(ErrorCode::kBusy,
                  "the controller is being reset" + because + "; poll until it is ready again");
    case QueueAvailability::kFailed:
      return fail(ErrorCode::kDisconnected,
                  "the controller has failed" + because + "; reset it or detach it");
    case QueueAvailability::kRemoved:
      return fail(ErrorCode::kDisconnected, "the controller is gone" + because);
  }
  return fail(ErrorCode::kDisconnected, "the controller is gone");
}

void IoQueueLedger::set_keys(const DhchapKeys& keys) {
  const std::lock_guard lock(mutex_);
  keys_ = keys;
}

DhchapKeys IoQueueLedger::keys() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

Result<IoQueueGrant> IoQueueLedger::grant() const {
  const std::lock_guard lock(mutex_);
  return grant_locked();
}

Result<std::uint16_t> IoQueueLedger::join(const std::shared_ptr<Member>& member) {
  const std::lock_guard lock(mutex_);
  const Result<IoQueueGrant> grant = grant_locked();
  if (!grant) {
    return std::unexpected(grant.error());
  }
  const auto end = qid_taken_.begin() + grant->queue_count;
  const auto free = std::find(qid_taken_.begin(), end, false);
  if (free == end) {
    return fail(ErrorCode::kNoResources,
                "all " + std::to_string(grant->queue_count) +
                    " I/O queues that the controller grants are in use; free one first");
  }
  *free = true;
  members_.push_back(member);
  return static_cast<std::uint16_t>(free - qid_taken_.begin() + 1);
}

void IoQueueLedger::leave(const std::shared_ptr<Member>& member, std::uint16_t qid) {
  const std::lock_guard lock(mutex_);
  CHECK(qid >= 1 && qid <= qid_taken_.size() && qid_taken_[qid - 1u]);
  qid_taken_[qid - 1u] = false;
  std::erase(members_, member);
}

std::size_t IoQueueLedger::member_count() const {
  const std::lock_guard lock(mutex_);
  return members_.size();
}

}  // namespace nvublk::nvme
