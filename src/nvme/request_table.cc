#include "nvme/request_table.h"

#include <bit>

namespace nvublk::nvme {

RequestTable::RequestTable(std::uint32_t size)
    : size_(size),
      index_mask_(std::bit_ceil(size) - 1),
      slots_(std::make_unique<Request[]>(size)),
      free_(std::make_unique<std::uint16_t[]>(size)) {
  CHECK(size >= 1 && size <= kMaxSlots);
  for (std::uint32_t i = 0; i < size; i++) {
    slots_[i].slot = static_cast<std::uint16_t>(i);
    slots_[i].cid = static_cast<std::uint16_t>(i);
    free_[i] = static_cast<std::uint16_t>(size - 1 - i);
  }
}

Request* RequestTable::acquire() {
  if (full()) {
    return nullptr;
  }
  in_use_++;
  Request& request = slots_[free_[size_ - in_use_]];
  CHECK(!request.active);
  request.active = true;
  request.metadata = nullptr;
  request.metadata_bytes = 0;
  const std::uint32_t next_generation = request.cid + index_mask_ + 1;
  request.cid = static_cast<std::uint16_t>(next_generation);
  if (request.cid == 0xffff) {  // reserved for error information that belongs to no command
    request.cid = static_cast<std::uint16_t>(request.cid + index_mask_ + 1);
  }
  return &request;
}

void RequestTable::release(Request& request) {
  CHECK(request.active && in_use_ > 0);
  request.active = false;
  free_[size_ - in_use_] = request.slot;
  in_use_--;
}

}  // namespace nvublk::nvme
