#pragma once

// A completion queue that the queue pairs of one device and shard share: polled in the reactor's
// phase 3, and armed before the shard sleeps. Shard-affine.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/error.h"
#include "engine/fd_watch.h"
#include "engine/intrusive_list.h"
#include "engine/reactor.h"
#include "nvme/rdma/rdma_statistics.h"
#include "nvme/rdma/verbs.h"

namespace nvublk::nvme::rdma {

struct PolledTag;
class Receives;

/// A queue pair's side of its completion queue. Neither call may destroy a client.
class CompletionClient : public ListHook<PolledTag> {
 public:
  /// A work request of the client has ended; `id` is what work_id() was given.
  virtual void on_work(std::uint32_t id, const ibv_wc& completion) = 0;
  /// No more on_work() for now.
  virtual void on_polled() = 0;

 protected:
  ~CompletionClient() = default;
};

class CompletionQueue final : private Poller {
 public:
  /// A queue of at least `entries` entries, at most what `limit` says the device can do.
  static Result<std::unique_ptr<CompletionQueue>> create(Reactor& reactor, ibv_context& context,
                                                         RdmaCounters& counters, int entries,
                                                         int limit);
  ~CompletionQueue();
  CompletionQueue(const CompletionQueue&) = delete;
  CompletionQueue& operator=(const CompletionQueue&) = delete;

  /// Makes sure that `entries` more completions have room; false if that cannot be.
  bool reserve(int entries);
  void unreserve(int entries) { reserved_ -= entries; }

  /// Stands for a client in work_id(): a receive of a shared queue, whose completion names the
  /// queue pair that it came by.
  static constexpr std::uint32_t kSharedReceives = 0xffffffff;

  /// Returns the client's number for work_id().
  std::uint32_t add(CompletionClient& client);
  /// What still arrives for it is dropped.
  void remove(std::uint32_t client);
  /// Receives of `receives` that come by queue pair `number` are the client's; what comes by a
  /// queue pair that is gone goes back.
  void share(std::uint32_t client, std::uint32_t number, Receives& receives);
  /// Delivers what is there. Not from within a client's call.
  void deliver() { poll(); }
  /// What a work request has as its wr_id.
  static std::uint64_t work_id(std::uint32_t client, std::uint32_t id) {
    return (std::uint64_t{client} << 32) | id;
  }
  ibv_cq* get() const { return queue_.get(); }

 private:
  static constexpr int kBatch = 32;
  static constexpr unsigned kMaxBatches = 8;  // of one poll, so that others get their turn

  // The number that work_id() has: the index in clients_, and a generation above it.
  struct Client {
    CompletionClient* client = nullptr;
    std::uint16_t generation = 0;
    std::optional<std::uint32_t> queue_pair;  // that takes receives from the shared queue
  };

  CompletionQueue(Reactor& reactor, RdmaCounters& counters, CompletionChannel channel,
                  VerbsCompletionQueue queue, int limit);
  unsigned poll() override;
  bool arm() override;
  bool fetch();
  void dispatch();
  CompletionClient* client_of(const ibv_wc& completion) const;
  void on_event();

  Reactor& reactor_;
  RdmaCounters& counters_;
  CompletionChannel channel_;
  VerbsCompletionQueue queue_;
  const int limit_;
  int reserved_ = 0;
  FdWatch watch_;
  bool armed_ = false;
  std::array<ibv_wc, kBatch> batch_{};
  int fetched_ = 0;  // of batch_, not dispatched yet
  std::vector<Client> clients_;
  Receives* shared_ = nullptr;
  IntrusiveList<CompletionClient, PolledTag> polled_;
};

}  // namespace nvublk::nvme::rdma
