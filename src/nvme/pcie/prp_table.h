#pragma once

// The PRP list of a whole region, made once: the list of any transfer within it is a piece of it,
// so that no I/O writes a list. Each page of the list has 511 addresses and a pointer to its next
// page. Immutable after construction.

#include <cstdint>

#include "engine/dma_memory.h"
#include "engine/error.h"
#include "nvme/data_pointer.h"

namespace nvublk::nvme::pcie {

class PrpTable {
 public:
  static constexpr std::uint64_t kPage = 4096;

  /// Memory for the table of a region of `length_bytes`.
  static Result<DmaRegion> allocate(std::uint64_t length_bytes);

  PrpTable() = default;
  /// The device sees the region at `region_address` and `memory`, from allocate(), at
  /// `table_address`. Fills `memory`, which has to outlive this.
  PrpTable(std::uint64_t region_address, std::uint64_t length_bytes, DmaRegion& memory,
           std::uint64_t table_address);

  /// The pointers for `length_bytes` from `offset_bytes` of the region, both inside it, length > 0.
  /// False where the transfer ends just after a page of the list, whose last entry would have to be
  /// an address and not the pointer that it is: such a list has to be made by hand.
  bool find(std::uint64_t offset_bytes, std::uint64_t length_bytes, PrpPointers& result) const {
    const std::uint64_t first = offset_bytes / kPage;
    const std::uint64_t last = (offset_bytes + length_bytes - 1) / kPage;
    result.prp1 = region_address_ + offset_bytes;
    result.prp2 = 0;
    if (last == first) {
      return true;
    }
    if (last == first + 1) {
      result.prp2 = region_address_ + last * kPage;
      return true;
    }
    const std::uint64_t begin_page = (first + 1) / kPerPage;
    if (last % kPerPage == 0 && last / kPerPage != begin_page) {
      return false;
    }
    result.prp2 = table_address_ + begin_page * kPage + (first + 1) % kPerPage * 8;
    return true;
  }

 private:
  static constexpr std::uint64_t kPerPage = kPage / 8 - 1;

  std::uint64_t region_address_ = 0;
  std::uint64_t table_address_ = 0;
};

}  // namespace nvublk::nvme::pcie
