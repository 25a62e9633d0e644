#pragma once

// iommufd: a device that is opened by its own character device, and an address space of its own.
// Linux 6.6 and later where it is built in; the container interface is there otherwise.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nvme/pcie/vfio_space.h"

namespace nvublk::nvme::pcie {

class IommufdSpace final : public VfioSpace {
 public:
  static constexpr char kIommu[] = "/dev/iommu";
  /// `node` is the device's, "/dev/vfio/devices/vfio0".
  static Result<VfioOpened> open(const std::string& node);

 private:
  IommufdSpace(UniqueFd iommu, std::uint32_t ioas, std::vector<IovaRange> ranges)
      : VfioSpace(std::move(ranges)), iommu_(std::move(iommu)), ioas_(ioas) {}
  int map_at(std::span<std::byte> memory, std::uint64_t address) override;
  int unmap_at(std::uint64_t address, std::uint64_t length_bytes) override;

  const UniqueFd iommu_;
  const std::uint32_t ioas_;
};

}  // namespace nvublk::nvme::pcie
