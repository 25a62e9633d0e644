#include "nvme/pcie/prp_table.h"

#include "engine/endian.h"

namespace nvublk::nvme::pcie {

Result<DmaRegion> PrpTable::allocate(std::uint64_t length_bytes) {
  const std::uint64_t pages = (length_bytes + kPage - 1) / kPage;
  return DmaRegion::allocate((pages + kPerPage - 1) / kPerPage * kPage);
}

PrpTable::PrpTable(std::uint64_t region_address, std::uint64_t length_bytes, DmaRegion& memory,
                   std::uint64_t table_address)
    : region_address_(region_address), table_address_(table_address) {
  auto* entries = reinterpret_cast<Le64*>(memory.data());
  const std::uint64_t pages = (length_bytes + kPage - 1) / kPage;
  for (std::uint64_t page = 0; page < pages; page++) {
    const std::uint64_t list_page = page / kPerPage;
    entries[page + list_page] = region_address + page * kPage;
    // [Base 2.1 §4.3.1]
    if (page % kPerPage == kPerPage - 1 && page + 1 < pages) {
      entries[page + list_page + 1] = table_address + (list_page + 1) * kPage;
    }
  }
}

}  // namespace nvublk::nvme::pcie
