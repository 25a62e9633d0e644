#include "nvme/pcie/vfio_space.h"

#include <cerrno>
#include <string>

#include "engine/log.h"

namespace nvublk::nvme::pcie {

namespace {

Error map_error(int error_number, std::size_t length_bytes) {
  switch (error_number) {
    case ENOMEM:
      return Error::make(ErrorCode::kNoResources,
                         "cannot lock " + std::to_string(length_bytes) +
                             " bytes for a device: raise the limit on locked memory (ulimit -l, "
                             "or LimitMEMLOCK= of the service)");
    case ENOSPC:
      return Error::make(ErrorCode::kNoResources,
                         "the kernel allows no more DMA mappings: raise "
                         "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit");
    default:
      return Error::from_errno(error_number, "cannot map memory for a device");
  }
}

Error no_room(std::uint64_t length_bytes) {
  return Error::make(ErrorCode::kNoResources, "the IOMMU has no " + std::to_string(length_bytes) +
                                                  " bytes of addresses left");
}

}  // namespace

Result<std::uint64_t> VfioSpace::map(std::span<std::byte> memory) {
  const std::lock_guard lock(mutex_);
  const auto address = addresses_.allocate(memory.size());
  if (!address) {
    return std::unexpected(no_room(memory.size()));
  }
  if (const int error_number = map_at(memory, *address); error_number != 0) {
    addresses_.release(*address);
    return std::unexpected(map_error(error_number, memory.size()));
  }
  return *address;
}

void VfioSpace::unmap(std::span<std::byte> memory, std::uint64_t address) {
  const std::lock_guard lock(mutex_);
  if (const int error_number = unmap_at(address, memory.size()); error_number != 0) {
    // The address is lost; the memory is not, as its pages stay pinned until the space closes.
    log_warning("nvme", Error::from_errno(error_number, "cannot unmap memory from a device").text);
    return;
  }
  addresses_.release(address);
}

Result<std::uint64_t> VfioSpace::reserve(std::uint64_t length_bytes) {
  const std::lock_guard lock(mutex_);
  const auto address = addresses_.allocate(length_bytes);
  if (!address) {
    return std::unexpected(no_room(length_bytes));
  }
  return *address;
}

bool VfioSpace::reserve_at(std::uint64_t address, std::uint64_t length_bytes) {
  const std::lock_guard lock(mutex_);
  return addresses_.take(address, length_bytes);
}

void VfioSpace::release(std::uint64_t address) {
  const std::lock_guard lock(mutex_);
  addresses_.release(address);
}

}  // namespace nvublk::nvme::pcie
