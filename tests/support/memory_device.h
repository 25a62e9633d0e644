#pragma once

// A BlockDevice in memory, for tests and benches of front-ends: what was written is read back,
// operations are counted, and it can be told to answer late, to fail, or to hold requests.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/block.h"
#include "engine/shard.h"

namespace nvublk::test {

class MemoryDevice final : public BlockDevice {
 public:
  struct Options {
    BlockGeometry geometry;
    bool keep_data = true;        ///< false: a null device, reads give what is in the buffer
    bool late = false;            ///< complete in a later phase instead of before submit() returns
    std::span<std::byte> memory;  ///< keep the data here, such as in shared memory
  };
  struct Counts {
    std::array<std::uint64_t, 5> operations{};  ///< by BlockOp
    std::uint64_t fua = 0;
    std::uint64_t no_unmap = 0;
    std::uint64_t invalid = 0;  ///< requests that broke the geometry
    std::uint64_t held = 0;

    std::uint64_t of(BlockOp op) const { return operations[static_cast<std::size_t>(op)]; }
  };

  /// One queue per shard in `shards`; they must outlive the device.
  MemoryDevice(const Options& options, std::span<Shard* const> shards);
  ~MemoryDevice() override;

  const BlockGeometry& geometry() const override { return options_.geometry; }
  unsigned queue_count() const override { return static_cast<unsigned>(queues_.size()); }
  unsigned queue_shard(unsigned index) const override;
  BlockQueue& queue(unsigned index) override;

  /// Another size, at most that which it was made with. The front-end hears of it by itself.
  void set_size(std::uint64_t size_blocks) { options_.geometry.size_blocks = size_blocks; }
  /// The bytes of the device.
  std::span<std::byte> contents() { return {data_, options_.geometry.size_bytes()}; }

  /// Any thread: every request from now on completes with this errno (0: none).
  void fail_with(int error) { error_.store(error, std::memory_order_relaxed); }
  /// Any thread: requests from now on wait until release().
  void hold() { holding_.store(true, std::memory_order_relaxed); }
  /// Any thread: lets held requests go; they complete on their shards soon after.
  void release();
  /// Any thread; may be a moment old.
  Counts counts() const;

 private:
  class Queue;

  Options options_;
  std::byte* data_ = nullptr;
  bool owned_ = false;
  std::atomic<int> error_{0};
  std::atomic<std::uint64_t> completed_{0};
  std::atomic<bool> holding_{false};
  std::vector<std::unique_ptr<Queue>> queues_;
};

}  // namespace nvublk::test
