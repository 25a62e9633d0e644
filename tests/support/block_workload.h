#pragma once

// A front-end stand-in: keeps a number of requests outstanding on a BlockQueue from its own shard,
// and checks what it reads against what it wrote. Allocates nothing once it is made.

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/block.h"
#include "engine/dma_catalog.h"
#include "engine/shard.h"

namespace nvublk::test {

class BlockWorkload {
 public:
  struct Options {
    unsigned depth = 32;
    std::uint32_t blocks_per_request = 1;
    std::uint64_t operations = 10000;
    bool mixed = true;  ///< flush, discard, write zeroes and FUA among reads and writes
    bool seal = false;  ///< allocations of the shard's thread are counted while it runs
    std::uint64_t first_lba = 0;
    std::uint64_t span_blocks = 4096;  ///< stays within this many blocks
    std::uint64_t seed = 1;
  };

  /// `queue` belongs to `shard`.
  BlockWorkload(Shard& shard, BlockQueue& queue, const BlockGeometry& geometry,
                const Options& options);
  ~BlockWorkload();

  /// Any thread.
  void start();
  /// Any thread: all operations have ended.
  bool finished() const { return finished_.load(std::memory_order_acquire); }

  // After finished().
  std::uint64_t errors() const { return errors_; }
  std::uint64_t mismatches() const { return mismatches_; }
  std::uint64_t completed() const { return completed_; }

 private:
  struct Slot : BlockRequest {
    BlockWorkload* owner = nullptr;
    std::uint64_t unit = 0;
    std::uint32_t version = 0;
    bool busy = false;
  };

  void fill();
  bool begin(Slot& slot);
  void ended(Slot& slot);
  void stamp(Slot& slot, std::uint32_t version);
  bool matches(const Slot& slot) const;
  std::uint64_t random();

  Shard& shard_;
  BlockQueue& queue_;
  const BlockGeometry geometry_;
  const Options options_;
  std::vector<Slot> slots_;
  DmaRegion memory_;  // the data of all slots, as front-ends have it
  DmaEntry memory_entry_{memory_};
  // What each unit (a request's worth of blocks) holds: 0 is zeroes, kUnknown is anything.
  static constexpr std::uint32_t kUnknown = 0xffffffff;
  std::vector<std::uint32_t> versions_;
  std::vector<std::uint8_t> unit_busy_;
  std::uint32_t next_version_ = 1;
  std::uint64_t started_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t errors_ = 0;
  std::uint64_t mismatches_ = 0;
  std::uint64_t state_;
  Deferred refill_;
  std::atomic<bool> finished_{false};
};

}  // namespace nvublk::test
