#include "nvme/rdma/memory_table.h"

#include <algorithm>
#include <cerrno>

#include "engine/log.h"

namespace nvublk::nvme::rdma {

Result<MemoryRegion> register_memory(ibv_pd& pd, std::byte* data, std::size_t length_bytes) {
  constexpr int kAccess = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
  MemoryRegion memory(::ibv_reg_mr(&pd, data, length_bytes, kAccess));
  if (!memory) {
    const int error = errno;
    return fail_errno(error, "cannot register " + std::to_string(length_bytes) +
                                 " bytes with the RDMA device " + device_name(*pd.context) +
                                 (error == ENOMEM || error == EAGAIN
                                      ? " (raise the limit on locked memory, ulimit -l)"
                                      : ""));
  }
  return memory;
}

MemoryTable::MemoryTable(DmaCatalog& catalog, ibv_pd& pd, Counter& registrations)
    : catalog_(catalog), pd_(pd), registrations_(registrations) {
  catalog_.add_listener(*this);
}

MemoryTable::~MemoryTable() {
  DmaCatalog::remove_listener(*this);
}

const MemoryKeys* MemoryTable::find(const std::byte* data, std::size_t length_bytes) {
  Entry* entry = find_entry(data, length_bytes);
  if (entry == nullptr) {
    DmaRegion* region = catalog_.find(data, length_bytes);
    entry = region != nullptr ? add(*region) : nullptr;
  }
  return entry != nullptr && entry->memory ? &entry->keys : nullptr;
}

MemoryTable::Entry* MemoryTable::find_entry(const std::byte* data, std::size_t length_bytes) {
  if (last_ < entries_.size() && entries_[last_].region->contains(data, length_bytes)) {
    return &entries_[last_];
  }
  for (std::size_t i = 0; i < entries_.size(); i++) {
    if (entries_[i].region->contains(data, length_bytes)) {
      last_ = i;
      return &entries_[i];
    }
  }
  return nullptr;
}

MemoryTable::Entry* MemoryTable::add(DmaRegion& region) {
  Result<MemoryRegion> memory = register_memory(pd_, region.data(), region.size_bytes());
  if (!memory) {
    // It is not tried again: data then goes through buffers that are registered.
    log_warning("nvme", memory.error().text + "; its data will be copied");
  } else {
    registrations_.add();
  }
  Entry entry{&region, DmaUse(region), nullptr, {}};
  if (memory) {
    entry.memory = std::move(*memory);
    entry.keys = {entry.memory->lkey, entry.memory->rkey};
  }
  entries_.push_back(std::move(entry));
  return &entries_.back();
}

void MemoryTable::region_removed(const DmaRegion& region) {
  std::vector<Entry> kept;
  for (Entry& entry : entries_) {
    if (entry.region != &region) {
      kept.push_back(std::move(entry));
    }
  }
  entries_ = std::move(kept);
}

}  // namespace nvublk::nvme::rdma
