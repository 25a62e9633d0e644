#include "nvme/rdma/bounce_pool.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "engine/check.h"

namespace nvublk::nvme::rdma {

BounceBuffer* BouncePool::acquire(std::size_t length_bytes) {
  if (length_bytes > kMaxBytes) {
    return nullptr;
  }
  const std::size_t units = (std::max(length_bytes, kMinBytes) + kMinBytes - 1) / kMinBytes;
  const auto size_class = static_cast<std::uint8_t>(std::bit_width(std::bit_ceil(units)) - 1);
  if (free_[size_class] == nullptr && !grow(size_class)) {
    return nullptr;
  }
  BounceBuffer* buffer = free_[size_class];
  free_[size_class] = std::exchange(buffer->next, nullptr);
  return buffer;
}

void BouncePool::release(BounceBuffer& buffer) {
  CHECK(buffer.next == nullptr && free_[buffer.size_class] != &buffer);
  buffer.next = std::exchange(free_[buffer.size_class], &buffer);
}

bool BouncePool::grow(std::uint8_t size_class) {
  const std::size_t each = kMinBytes << size_class;
  const std::size_t count = std::max<std::size_t>(kSlabBytes / each, 1);
  Result<DmaRegion> region = DmaRegion::allocate(each * count);
  if (!region) {
    return false;
  }
  Result<MemoryRegion> memory = register_memory(pd_, region->data(), region->size_bytes());
  if (!memory) {
    return false;
  }
  Slab slab{std::move(*region), std::move(*memory), std::make_unique<BounceBuffer[]>(count)};
  for (std::size_t i = 0; i < count; i++) {
    BounceBuffer& buffer = slab.buffers[i];
    buffer.data = slab.region.data() + i * each;
    buffer.keys = {slab.memory->lkey, slab.memory->rkey};
    buffer.size_class = size_class;
    release(buffer);
  }
  slabs_.push_back(std::move(slab));
  return true;
}

}  // namespace nvublk::nvme::rdma
