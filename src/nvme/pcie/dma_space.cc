#include "nvme/pcie/dma_space.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"

namespace nvublk::nvme::pcie {

DmaSpace::~DmaSpace() {
  CHECK(entries_.empty());
}

Result<DmaMapping> DmaSpace::acquire(const DmaRegion& region) {
  const std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.region == &region) {
      entry.users++;
      return entry.mapping;
    }
  }
  auto entry = map(region);
  if (!entry) {
    return std::unexpected(std::move(entry.error()));
  }
  entries_.push_back(std::move(*entry));
  return entries_.back().mapping;
}

Result<DmaSpace::Entry> DmaSpace::map(const DmaRegion& region) {
  auto table = PrpTable::allocate(region.size_bytes());
  if (!table) {
    return std::unexpected(std::move(table.error()));
  }
  const auto table_address = device_.map(table->span());
  if (!table_address) {
    return std::unexpected(table_address.error());
  }
  const auto address = device_.map(region.span());
  if (!address) {
    device_.unmap(table->span(), *table_address);
    return std::unexpected(address.error());
  }
  Entry entry;
  entry.region = &region;
  entry.users = 1;
  entry.table = std::move(*table);
  entry.table_address = *table_address;
  entry.mapping.begin = region.data();
  entry.mapping.address = *address;
  entry.mapping.prps = PrpTable(*address, region.size_bytes(), entry.table, *table_address);
  return entry;
}

void DmaSpace::release(const DmaRegion& region) {
  const std::lock_guard lock(mutex_);
  const auto entry = std::ranges::find(entries_, &region, &Entry::region);
  CHECK(entry != entries_.end());
  entry->users--;
  if (entry->users > 0) {
    return;
  }
  device_.unmap(region.span(), entry->mapping.address);
  device_.unmap(entry->table.span(), entry->table_address);
  entries_.erase(entry);
}

DmaView::~DmaView() {
  DmaCatalog::remove_listener(*this);
  for (const Entry& entry : entries_) {
    if (entry.mapped) {
      space_.release(*entry.region);
    }
  }
}

const DmaMapping* DmaView::look(const std::byte* data, std::size_t length_bytes) {
  for (std::size_t i = 0; i < entries_.size(); i++) {
    if (entries_[i].region->contains(data, length_bytes)) {
      last_ = i;
      return entries_[i].usable();
    }
  }
  DmaRegion* region = catalog_.find(data, length_bytes);
  return region != nullptr ? add(*region) : nullptr;
}

const DmaMapping* DmaView::add(DmaRegion& region) {
  auto mapping = space_.acquire(region);
  if (!mapping) {
    log_warning("nvme", mapping.error().text + "; data in that memory will be copied");
  }
  entries_.push_back(
      {&region, DmaUse(region), mapping.has_value(), mapping.value_or(DmaMapping())});
  last_ = entries_.size() - 1;
  return entries_.back().usable();
}

void DmaView::region_removed(const DmaRegion& region) {
  std::vector<Entry> kept;
  for (Entry& entry : entries_) {
    if (entry.region != &region) {
      kept.push_back(std::move(entry));
    } else if (entry.mapped) {
      space_.release(region);
    }
  }
  entries_ = std::move(kept);
}

}  // namespace nvublk::nvme::pcie
