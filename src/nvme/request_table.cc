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

}  // namespace nvublk::nvme
