#pragma once

// The IOMMU's side of VFIO: one group in one container, and what is mapped in it. Thread-safe.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/fd.h"
#include "nvme/pcie/iova_allocator.h"

namespace nvublk::nvme::pcie {

class VfioContainer {
 public:
  /// Opens `group`, the number of an IOMMU group, alone in a container.
  static Result<std::unique_ptr<VfioContainer>> open(unsigned group);

  /// The descriptor of the group's device at `address`, "0000:01:00.0".
  Result<UniqueFd> open_device(const std::string& address);

  Result<std::uint64_t> map(std::span<std::byte> memory);
  void unmap(std::span<std::byte> memory, std::uint64_t address);
  /// Addresses at which nothing is mapped.
  Result<std::uint64_t> reserve(std::uint64_t length_bytes);
  /// The same at `address`; false if something is.
  bool reserve_at(std::uint64_t address, std::uint64_t length_bytes);
  void release(std::uint64_t address);

 private:
  VfioContainer(UniqueFd container, UniqueFd group, std::vector<IovaRange> ranges)
      : container_(std::move(container)), group_(std::move(group)), addresses_(std::move(ranges)) {}

  const UniqueFd container_;
  const UniqueFd group_;
  std::mutex mutex_;
  IovaAllocator addresses_;  // by mutex_
};

}  // namespace nvublk::nvme::pcie
