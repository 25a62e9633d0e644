#include "nvme/rdma/completion_queue.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/rdma/receives.h"

namespace nvublk::nvme::rdma {

Result<std::unique_ptr<CompletionQueue>> CompletionQueue::create(Reactor& reactor,
                                                                 ibv_context& context,
                                                                 RdmaCounters& counters,
                                                                 int entries, int limit) {
  CompletionChannel channel(::ibv_create_comp_channel(&context));
  if (!channel) {
    return fail_errno(errno, "cannot make a completion channel on " + device_name(context));
  }
  const int flags = ::fcntl(channel->fd, F_GETFL);
  if (flags < 0 || ::fcntl(channel->fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return fail_errno(errno, "cannot make a completion channel non-blocking");
  }
  VerbsCompletionQueue queue(
      ::ibv_create_cq(&context, std::min(entries, limit), nullptr, channel.get(), 0));
  if (!queue) {
    return fail_errno(errno, "cannot make a completion queue of " +
                                 std::to_string(std::min(entries, limit)) + " entries on " +
                                 device_name(context));
  }
  return std::unique_ptr<CompletionQueue>(
      new CompletionQueue(reactor, counters, std::move(channel), std::move(queue), limit));
}

CompletionQueue::CompletionQueue(Reactor& reactor, RdmaCounters& counters,
                                 CompletionChannel channel, VerbsCompletionQueue queue, int limit)
    : reactor_(reactor),
      counters_(counters),
      channel_(std::move(channel)),
      queue_(std::move(queue)),
      limit_(limit),
      watch_(reactor, [](void* self) { static_cast<CompletionQueue*>(self)->on_event(); }, this) {
  reactor_.add_poller(*this);
  watch_.start(channel_->fd);
}

CompletionQueue::~CompletionQueue() {
  CHECK(polled_.empty());
  watch_.stop();
  reactor_.remove_poller(*this);
}

bool CompletionQueue::reserve(int entries) {
  const int wanted = reserved_ + entries;
  if (wanted > queue_->cqe) {
    // Not all devices can resize; then the caller makes another queue.
    if (wanted > limit_ ||
        ::ibv_resize_cq(queue_.get(), std::min(std::max(wanted, queue_->cqe * 2), limit_)) != 0) {
      return false;
    }
  }
  reserved_ = wanted;
  return wanted <= queue_->cqe;
}

std::uint32_t CompletionQueue::add(CompletionClient& client) {
  auto free = std::ranges::find(clients_, nullptr, &Client::client);
  if (free == clients_.end()) {
    CHECK(clients_.size() < 0xffff);
    free = clients_.insert(clients_.end(), Client{});
  }
  free->client = &client;
  const auto index = static_cast<std::uint32_t>(free - clients_.begin());
  return (std::uint32_t{free->generation} << 16) | index;
}

void CompletionQueue::remove(std::uint32_t client) {
  Client& entry = clients_[client & 0xffff];
  CHECK(entry.client != nullptr && entry.generation == client >> 16);
  if (IntrusiveList<CompletionClient, PolledTag>::contains_anywhere(*entry.client)) {
    IntrusiveList<CompletionClient, PolledTag>::remove(*entry.client);
  }
  entry.client = nullptr;
  entry.generation++;
  entry.queue_pair.reset();
}

void CompletionQueue::share(std::uint32_t client, std::uint32_t number, Receives& receives) {
  CHECK(shared_ == nullptr || shared_ == &receives);
  shared_ = &receives;
  clients_[client & 0xffff].queue_pair = number;
}

// Null: it was of a queue pair that is gone.
CompletionClient* CompletionQueue::client_of(const ibv_wc& completion) const {
  const auto number = static_cast<std::uint32_t>(completion.wr_id >> 32);
  if (number == kSharedReceives) {
    const auto found = std::ranges::find_if(clients_, [&completion](const Client& each) {
      return each.queue_pair == completion.qp_num;
    });
    return found != clients_.end() ? found->client : nullptr;
  }
  const std::uint32_t index = number & 0xffff;
  if (index >= clients_.size() || clients_[index].generation != number >> 16) {
    return nullptr;
  }
  return clients_[index].client;
}

// Fills the batch; false if there was nothing.
bool CompletionQueue::fetch() {
  counters_.polls.add();
  const int count = ::ibv_poll_cq(queue_.get(), kBatch, batch_.data());
  if (count < 0) {
    log_error("nvme", "an RDMA completion queue cannot be polled any more");
    return false;
  }
  fetched_ = count;
  if (count == 0) {
    counters_.idle_polls.add();
  }
  return count > 0;
}

void CompletionQueue::dispatch() {
  const int count = std::exchange(fetched_, 0);
  counters_.completions.add(static_cast<std::uint64_t>(count));
  for (int i = 0; i < count; i++) {
    const ibv_wc& completion = batch_[static_cast<std::size_t>(i)];
    const auto id = static_cast<std::uint32_t>(completion.wr_id);
    CompletionClient* client = client_of(completion);
    if (client == nullptr) {
      if (completion.wr_id >> 32 == kSharedReceives) {
        shared_->returned();
        shared_->give_back(id & ~Receives::kWorkId);
      }
      continue;
    }
    if (!IntrusiveList<CompletionClient, PolledTag>::contains_anywhere(*client)) {
      polled_.push_back(*client);
    }
    client->on_work(id, completion);
  }
}

unsigned CompletionQueue::poll() {
  unsigned total = 0;
  for (unsigned i = 0; i < kMaxBatches; i++) {
    if (fetched_ == 0 && !fetch()) {
      break;
    }
    const int count = fetched_;
    total += static_cast<unsigned>(count);
    dispatch();
    if (count < kBatch) {
      break;
    }
  }
  while (!polled_.empty()) {
    polled_.pop_front().on_polled();
  }
  return total;
}

// The order closes the gap: what arrives before the notification is asked for is found by the poll
// that follows; what arrives after makes the channel readable.
bool CompletionQueue::arm() {
  if (!armed_) {
    if (::ibv_req_notify_cq(queue_.get(), 0) != 0) {
      return false;
    }
    armed_ = true;
  }
  return fetched_ == 0 && !fetch();
}

void CompletionQueue::on_event() {
  ibv_cq* queue = nullptr;
  void* context = nullptr;
  unsigned events = 0;
  while (::ibv_get_cq_event(channel_.get(), &queue, &context) == 0) {
    events++;
  }
  if (events > 0) {
    ::ibv_ack_cq_events(queue_.get(), events);
    counters_.interrupts.add(events);
    armed_ = false;
  }
}

}  // namespace nvublk::nvme::rdma
