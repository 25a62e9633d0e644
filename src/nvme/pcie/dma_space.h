#pragma once

// The memory of this process as one device sees it: regions of the shards' catalogs, each mapped as
// a whole for the first queue that needs it and until the last one lets go. Queues keep a DmaView
// each, which comes here only for what it has not seen yet.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/dma_catalog.h"
#include "engine/error.h"
#include "nvme/pcie/pcie_device.h"
#include "nvme/pcie/prp_table.h"

namespace nvublk::nvme::pcie {

/// A region as the device sees it.
struct DmaMapping {
  const std::byte* begin = nullptr;
  std::uint64_t address = 0;
  PrpTable prps;
};

/// Thread-safe.
class DmaSpace {
 public:
  explicit DmaSpace(PcieDevice& device) : device_(device) {}
  DmaSpace(const DmaSpace&) = delete;
  DmaSpace& operator=(const DmaSpace&) = delete;
  /// Every mapping has been released.
  ~DmaSpace();

  /// Maps `region`, or counts one more user of its mapping.
  Result<DmaMapping> acquire(const DmaRegion& region);
  /// What acquire() gave; the last one to release it unmaps the region.
  void release(const DmaRegion& region);

 private:
  struct Entry {
    const DmaRegion* region = nullptr;
    std::uint32_t users = 0;
    DmaRegion table;
    std::uint64_t table_address = 0;
    DmaMapping mapping;
  };

  Result<Entry> map(const DmaRegion& region);

  PcieDevice& device_;
  std::mutex mutex_;
  std::vector<Entry> entries_;  // by mutex_
};

/// What one queue has mapped of its shard's catalog. Shard-affine.
class DmaView final : private DmaListener {
 public:
  DmaView(DmaCatalog& catalog, DmaSpace& space) : catalog_(catalog), space_(space) {
    catalog_.add_listener(*this);
  }
  /// The device does not use the queue any more.
  ~DmaView();
  DmaView(const DmaView&) = delete;
  DmaView& operator=(const DmaView&) = delete;

  /// The mapping that holds `length_bytes` from `data`; null if they are in no region of the
  /// catalog, or the region cannot be mapped.
  const DmaMapping* find(const std::byte* data, std::size_t length_bytes) {
    if (last_ < entries_.size() && entries_[last_].region->contains(data, length_bytes))
        [[likely]] {
      return entries_[last_].usable();
    }
    return look(data, length_bytes);
  }

 private:
  struct Entry {
    DmaRegion* region;
    DmaUse use;
    bool mapped;  // false: it could not be; it is not tried again
    DmaMapping mapping;
    const DmaMapping* usable() const { return mapped ? &mapping : nullptr; }
  };

  void region_removed(const DmaRegion& region) override;
  const DmaMapping* look(const std::byte* data, std::size_t length_bytes);
  const DmaMapping* add(DmaRegion& region);

  DmaCatalog& catalog_;
  DmaSpace& space_;
  std::size_t last_ = 0;  // where the last search ended
  std::vector<Entry> entries_;
};

}  // namespace nvublk::nvme::pcie
