#pragma once

// VFIO's container interface: a device's IOMMU group, alone in a container.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nvme/pcie/vfio_space.h"

namespace nvublk::nvme::pcie {

class VfioContainer final : public VfioSpace {
 public:
  /// The device at `address`, "0000:01:00.0", of `group`, the number of its IOMMU group.
  static Result<VfioOpened> open(unsigned group, const std::string& address);

 private:
  VfioContainer(UniqueFd container, UniqueFd group, std::vector<IovaRange> ranges)
      : VfioSpace(std::move(ranges)), container_(std::move(container)), group_(std::move(group)) {}
  int map_at(std::span<std::byte> memory, std::uint64_t address) override;
  int unmap_at(std::uint64_t address, std::uint64_t length_bytes) override;

  const UniqueFd container_;
  const UniqueFd group_;
};

}  // namespace nvublk::nvme::pcie
