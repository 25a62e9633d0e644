#include "nvme/poll_group.h"

#include <algorithm>
#include <cerrno>

#include "engine/check.h"
#include "nvme/poll_result.h"

namespace nvublk::nvme {

namespace {

Shard& current_shard() {
  Shard* shard = Shard::current();
  CHECK(shard != nullptr);
  return *shard;
}

}  // namespace

PollGroup::PollGroup(const PollGroupOptions& options)
    : shard_(current_shard()), options_(options) {}

PollGroup::~PollGroup() {
  CHECK(destroy() == 0);
}

int PollGroup::destroy() const {
  const bool member =
      std::ranges::any_of(members_, [](IoQueuePair* each) { return each != nullptr; });
  return member || processing_ ? -EBUSY : 0;
}

int PollGroup::add(IoQueuePair& queue_pair) {
  CHECK_ON(shard_);
  if (queue_pair.group_ != nullptr) {
    return -EBUSY;
  }
  if (&queue_pair.shard() != &shard_ || queue_pair.state() != QueueState::kDisconnected ||
      queue_pair.options().interrupts != options_.interrupts) {
    return -EINVAL;
  }
  members_.push_back(&queue_pair);
  queue_pair.group_ = this;
  return 0;
}

int PollGroup::remove(IoQueuePair& queue_pair) {
  CHECK_ON(shard_);
  if (queue_pair.group_ != this) {
    return -ENOENT;
  }
  if (queue_pair.state() != QueueState::kDisconnected) {
    return -EINVAL;
  }
  forget(queue_pair);
  return 0;
}

void PollGroup::forget(IoQueuePair& queue_pair) {
  const auto found = std::ranges::find(members_, &queue_pair);
  CHECK(found != members_.end());
  *found = nullptr;
  queue_pair.group_ = nullptr;
  if (!processing_) {
    std::erase(members_, nullptr);
  }
}

std::int64_t PollGroup::process_completions(std::uint32_t max_per_queue, Disconnected disconnected,
                                            void* context) {
  CHECK_ON(shard_);
  if (processing_) {
    return 0;
  }
  processing_ = true;
  if (!shard_.reactor().turning()) {
    shard_.reactor().turn(false);
  }
  PollResult result;
  // By index: callbacks may add members.
  for (std::size_t i = 0; i < members_.size(); i++) {
    if (members_[i] == nullptr) {
      continue;
    }
    const int done = members_[i]->reap(max_per_queue);
    result.add(done);
    if (done < 0 && disconnected != nullptr && members_[i] != nullptr) {
      disconnected(context, *members_[i]);
    }
  }
  processing_ = false;
  std::erase(members_, nullptr);
  statistics_.polls++;
  statistics_.completions += static_cast<std::uint64_t>(result.completions());
  if (result.completions() == 0) {
    statistics_.idle_polls++;
  }
  return result.value();
}

int PollGroup::all_connected() const {
  int result = 0;
  for (const IoQueuePair* each : members_) {
    if (each == nullptr || each->state() == QueueState::kLive) {
      continue;
    }
    if (each->state() != QueueState::kConnecting) {
      return -EIO;
    }
    result = -EAGAIN;
  }
  return result;
}

bool PollGroup::has_completions() const {
  return std::ranges::any_of(
      members_, [](const IoQueuePair* each) { return each != nullptr && each->has_completions(); });
}

int PollGroup::wait(Duration limit) {
  CHECK_ON(shard_);
  if (!options_.interrupts || shard_.reactor().turning()) {
    return -EINVAL;
  }
  Timer enough([](Timer&, void*) {}, nullptr);
  const Instant until = Clock::now() + limit;
  shard_.reactor().arm(enough, until);
  while (!has_completions() && enough.armed() && all_connected() != -EIO) {
    statistics_.sleeps++;
    shard_.reactor().turn_or_wait();
  }
  shard_.reactor().cancel(enough);
  return 0;
}

}  // namespace nvublk::nvme
