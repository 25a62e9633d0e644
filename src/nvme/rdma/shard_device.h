#pragma once

// An RDMA device as one shard has it: protection domain, registered memory and completion queues,
// shared by all queue pairs of the shard on that device, whatever their controller. Made for the
// first of them and gone with the last. Shard-affine.

#include <memory>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/reactor.h"
#include "nvme/rdma/bounce_pool.h"
#include "nvme/rdma/completion_queue.h"
#include "nvme/rdma/memory_table.h"
#include "nvme/rdma/rdma_statistics.h"
#include "nvme/rdma/receives.h"
#include "nvme/rdma/verbs.h"

namespace nvublk::nvme::rdma {

class ShardDevice {
 public:
  /// Keeps the device. The connection manager's id that brought `context` outlives it.
  class Use {
   public:
    Use() = default;
    explicit Use(ShardDevice& device) : device_(&device) { device.uses_++; }
    Use(Use&& other) noexcept : device_(std::exchange(other.device_, nullptr)) {}
    Use& operator=(Use&& other) noexcept {
      std::swap(device_, other.device_);
      return *this;
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() { reset(); }
    void reset();
    ShardDevice* operator->() const { return device_; }
    ShardDevice& operator*() const { return *device_; }
    explicit operator bool() const { return device_ != nullptr; }

   private:
    ShardDevice* device_ = nullptr;
  };

  /// The calling shard's device for `context`.
  static Result<Use> acquire(Reactor& reactor, ibv_context& context);
  ~ShardDevice();
  ShardDevice(const ShardDevice&) = delete;
  ShardDevice& operator=(const ShardDevice&) = delete;

  ibv_context& context() const { return context_; }
  ibv_pd* protection_domain() const { return domain_.get(); }
  const ibv_device_attr& attributes() const { return attributes_; }
  MemoryTable& memory() { return memory_; }
  BouncePool& bounce_pool() { return bounce_pool_; }
  RdmaCounters& counters() { return counters_; }
  /// A completion queue with room for `entries` more, which are reserved.
  Result<CompletionQueue*> reserve_completions(int entries);

  /// The shared receive queue, which is made by the first call; `count` of its buffers are
  /// reserved.
  Result<Receives*> reserve_shared_receives(std::uint32_t count);

 private:
  static constexpr int kFirstCompletions = 4096;
  static constexpr int kSharedReceives = 4096;

  ShardDevice(Reactor& reactor, ibv_context& context, const ibv_device_attr& attributes,
              ProtectionDomain domain);

  Reactor& reactor_;
  ibv_context& context_;
  const ibv_device_attr attributes_;
  ProtectionDomain domain_;
  RdmaCounters counters_;
  MemoryTable memory_;
  BouncePool bounce_pool_;
  std::unique_ptr<Receives> shared_receives_;
  std::vector<std::unique_ptr<CompletionQueue>> completion_queues_;
  unsigned uses_ = 0;
};

}  // namespace nvublk::nvme::rdma
