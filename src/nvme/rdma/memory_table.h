#pragma once

// The memory that a device may reach on one shard: regions of the shard's catalog, each registered
// when it is first used and only once, until it is taken out of the catalog. Shard-affine.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/counter.h"
#include "engine/dma_catalog.h"
#include "engine/error.h"
#include "nvme/rdma/verbs.h"

namespace nvublk::nvme::rdma {

/// How a device names memory: `local_key` in our own work requests, `remote_key` in SGLs.
struct MemoryKeys {
  std::uint32_t local_key = 0;
  std::uint32_t remote_key = 0;
};

/// Registers memory that the device may read and write, also on behalf of the peer.
Result<MemoryRegion> register_memory(ibv_pd& pd, std::byte* data, std::size_t length_bytes);

class MemoryTable final : private DmaListener {
 public:
  /// `registrations` counts the regions that were registered.
  MemoryTable(DmaCatalog& catalog, ibv_pd& pd, Counter& registrations);
  ~MemoryTable();
  MemoryTable(const MemoryTable&) = delete;
  MemoryTable& operator=(const MemoryTable&) = delete;

  /// The keys of the region that holds all of `data`; null if it is in none, or the device cannot
  /// register that region.
  const MemoryKeys* find(const std::byte* data, std::size_t length_bytes);

 private:
  struct Entry {
    DmaRegion* region;
    DmaUse use;
    MemoryRegion memory;  // null: the device refused
    MemoryKeys keys;
  };
  void region_removed(const DmaRegion& region) override;
  Entry* find_entry(const std::byte* data, std::size_t length_bytes);
  Entry* add(DmaRegion& region);

  DmaCatalog& catalog_;
  ibv_pd& pd_;
  Counter& registrations_;
  std::vector<Entry> entries_;
  std::size_t last_ = 0;  // where the last search ended
};

}  // namespace nvublk::nvme::rdma
