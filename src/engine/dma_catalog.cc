#include "engine/dma_catalog.h"

namespace nvublk {

void DmaCatalog::remove(DmaEntry& entry) {
  if (!IntrusiveList<DmaEntry, DmaEntry>::contains_anywhere(entry)) {
    return;
  }
  IntrusiveList<DmaEntry, DmaEntry>::remove(entry);
  for (DmaListener& listener : listeners_) {
    listener.region_removed(entry.region());
  }
}

DmaRegion* DmaCatalog::find(const std::byte* data, std::size_t length_bytes) {
  for (DmaEntry& entry : entries_) {
    DmaRegion& region = entry.region();
    if (region.contains(data, length_bytes)) {
      return &region;
    }
  }
  return nullptr;
}

}  // namespace nvublk
