#include "support/memory_device.h"

#include <cerrno>
#include <cstring>

#include <sys/mman.h>

#include "engine/check.h"
#include "engine/counter.h"

namespace nvublk::test {

/// Shard-affine, but for the counters.
class MemoryDevice::Queue final : public BlockQueue {
 public:
  Queue(MemoryDevice& device, Shard& shard) : device_(device), shard_(shard) {}
  ~Queue() override { CHECK(waiting_.empty()); }

  Shard& shard() { return shard_; }

  void submit(BlockRequest& request) override {
    CHECK_ON(shard_);
    request.queue = this;
    count(request);
    if (device_.holding_.load(std::memory_order_relaxed)) {
      held_.add();
      waiting_.push_back(request);
    } else if (device_.options_.late) {
      waiting_.push_back(request);
      shard_.reactor().defer(later_);
    } else {
      complete(request);
    }
  }

  void complete_waiting() {
    IntrusiveList<BlockRequest, BlockRequestTag> ready;
    ready.splice_front(waiting_);
    while (!ready.empty()) {
      complete(ready.pop_front());
    }
  }

  void add_counts(Counts& sum) const {
    for (std::size_t i = 0; i < operations_.size(); i++) {
      sum.operations[i] += operations_[i].get();
    }
    sum.fua += fua_.get();
    sum.no_unmap += no_unmap_.get();
    sum.invalid += invalid_.get();
    sum.held += held_.get();
  }

 private:
  void count(const BlockRequest& request) {
    operations_[static_cast<std::size_t>(request.op)].add();
    if (request.fua) {
      fua_.add();
    }
    if (request.no_unmap) {
      no_unmap_.add();
    }
  }

  bool within_geometry(const BlockRequest& request) const {
    const BlockGeometry& geometry = device_.geometry();
    if (request.op == BlockOp::kFlush) {
      return true;
    }
    if (request.blocks == 0 || request.lba >= geometry.size_blocks ||
        request.blocks > geometry.size_blocks - request.lba) {
      return false;
    }
    switch (request.op) {
      case BlockOp::kRead:
      case BlockOp::kWrite:
        return request.data != nullptr &&
               std::uint64_t{request.blocks} * geometry.block_size_bytes <=
                   geometry.max_transfer_bytes;
      case BlockOp::kDiscard:
        return request.blocks <= geometry.max_discard_blocks;
      case BlockOp::kWriteZeroes:
        return request.blocks <= geometry.max_write_zeroes_blocks;
      case BlockOp::kFlush:
        return true;
      default:
        return false;
    }
  }

  void complete(BlockRequest& request) {
    request.error = device_.error_.load(std::memory_order_relaxed);
    if (!within_geometry(request)) {
      invalid_.add();
      request.error = EINVAL;
    }
    if (request.error == 0 && device_.options_.keep_data) {
      // The kernel orders requests of different shards to the same block, by ways that neither the
      // memory model nor ThreadSanitizer knows: say it to them.
      static_cast<void>(device_.completed_.load(std::memory_order_acquire));
      transfer(request);
      device_.completed_.fetch_add(1, std::memory_order_release);
    }
    request.done(request);
  }

  void transfer(BlockRequest& request) {
    const std::size_t block = device_.geometry().block_size_bytes;
    std::byte* place = device_.data_ + request.lba * block;
    const std::size_t length = request.blocks * block;
    switch (request.op) {
      case BlockOp::kRead:
        std::memcpy(request.data, place, length);
        break;
      case BlockOp::kWrite:
        std::memcpy(place, request.data, length);
        break;
      case BlockOp::kDiscard:
      case BlockOp::kWriteZeroes:
        std::memset(place, 0, length);
        break;
      default:
        break;
    }
  }

  MemoryDevice& device_;
  Shard& shard_;
  IntrusiveList<BlockRequest, BlockRequestTag> waiting_;
  Deferred later_{[](Deferred&, void* self) { static_cast<Queue*>(self)->complete_waiting(); },
                  this};
  std::array<Counter, 5> operations_;
  Counter fua_;
  Counter no_unmap_;
  Counter invalid_;
  Counter held_;
};

MemoryDevice::MemoryDevice(const Options& options, std::span<Shard* const> shards)
    : options_(options) {
  if (options_.memory.empty()) {
    void* memory = ::mmap(nullptr, options_.geometry.size_bytes(), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    data_ = static_cast<std::byte*>(memory);
    owned_ = true;
  } else {
    CHECK(options_.memory.size() >= options_.geometry.size_bytes());
    data_ = options_.memory.data();
  }
  for (Shard* shard : shards) {
    queues_.push_back(std::make_unique<Queue>(*this, *shard));
  }
}

MemoryDevice::~MemoryDevice() {
  if (owned_) {
    ::munmap(data_, options_.geometry.size_bytes());
  }
}

unsigned MemoryDevice::queue_shard(unsigned index) const {
  return queues_[index]->shard().id();
}

BlockQueue& MemoryDevice::queue(unsigned index) {
  return *queues_[index];
}

void MemoryDevice::release() {
  holding_.store(false, std::memory_order_relaxed);
  for (auto& queue : queues_) {
    Queue* held = queue.get();
    held->shard().post([held] { held->complete_waiting(); });
  }
}

MemoryDevice::Counts MemoryDevice::counts() const {
  Counts sum;
  for (const auto& queue : queues_) {
    queue->add_counts(sum);
  }
  return sum;
}

}  // namespace nvublk::test
