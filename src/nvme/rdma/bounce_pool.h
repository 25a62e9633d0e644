#pragma once

// Registered buffers for data whose own memory the device does not know: Identify pages, an
// application's memory, data in more pieces than a command can name. Buffers are powers of two;
// those that come back are kept. Shard-affine.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/dma_memory.h"
#include "nvme/rdma/memory_table.h"
#include "nvme/rdma/verbs.h"

namespace nvublk::nvme::rdma {

struct BounceBuffer {
  std::byte* data = nullptr;
  MemoryKeys keys;
  std::uint8_t size_class = 0;
  BounceBuffer* next = nullptr;  // while it is free
};

class BouncePool {
 public:
  static constexpr std::size_t kMinBytes = 4096;
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 24;

  explicit BouncePool(ibv_pd& pd) : pd_(pd) {}
  BouncePool(const BouncePool&) = delete;
  BouncePool& operator=(const BouncePool&) = delete;

  /// A buffer of at least `length_bytes`; null if there is no memory, or none that large.
  BounceBuffer* acquire(std::size_t length_bytes);
  void release(BounceBuffer& buffer);

 private:
  static constexpr std::size_t kSlabBytes = 256 * 1024;  // what is registered at a time, at least
  static constexpr std::size_t kClasses = 13;
  static_assert(kMinBytes << (kClasses - 1) == kMaxBytes);
  struct Slab {
    DmaRegion region;
    MemoryRegion memory;
    std::unique_ptr<BounceBuffer[]> buffers;
  };
  bool grow(std::uint8_t size_class);

  ibv_pd& pd_;
  std::vector<Slab> slabs_;
  std::array<BounceBuffer*, kClasses> free_{};
};

}  // namespace nvublk::nvme::rdma
