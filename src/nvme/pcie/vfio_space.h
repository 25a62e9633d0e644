#pragma once

// The addresses under which a device of VFIO reaches our memory. Thread-safe.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "engine/error.h"
#include "engine/fd.h"
#include "nvme/pcie/iova_allocator.h"

namespace nvublk::nvme::pcie {

class VfioSpace {
 public:
  virtual ~VfioSpace() = default;
  VfioSpace(const VfioSpace&) = delete;
  VfioSpace& operator=(const VfioSpace&) = delete;

  Result<std::uint64_t> map(std::span<std::byte> memory);
  void unmap(std::span<std::byte> memory, std::uint64_t address);
  /// Addresses at which nothing is mapped.
  Result<std::uint64_t> reserve(std::uint64_t length_bytes);
  /// The same at `address`; false if something is.
  bool reserve_at(std::uint64_t address, std::uint64_t length_bytes);
  void release(std::uint64_t address);

 protected:
  explicit VfioSpace(std::vector<IovaRange> ranges) : addresses_(std::move(ranges)) {}
  /// 0 or an errno.
  virtual int map_at(std::span<std::byte> memory, std::uint64_t address) = 0;
  virtual int unmap_at(std::uint64_t address, std::uint64_t length_bytes) = 0;

 private:
  std::mutex mutex_;
  IovaAllocator addresses_;  // by mutex_
};

/// A device and its space; the device is closed first.
struct VfioOpened {
  std::unique_ptr<VfioSpace> space;
  UniqueFd device;
};

}  // namespace nvublk::nvme::pcie
