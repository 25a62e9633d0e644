#pragma once

// Addresses under which a device reaches our memory, out of the ranges that its IOMMU has.

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace nvublk::nvme::pcie {

struct IovaRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;  ///< inclusive
};

class IovaAllocator {
 public:
  /// Page 0 is never given out: an address of 0 would look like none.
  explicit IovaAllocator(std::vector<IovaRange> ranges);

  /// `length_bytes` is a multiple of the page size. Nothing if no range has room.
  std::optional<std::uint64_t> allocate(std::uint64_t length_bytes);
  /// The range from `address` on; false if some of it is in use already. It need not be in any of
  /// the ranges.
  bool take(std::uint64_t address, std::uint64_t length_bytes);
  /// What allocate() returned, or take() took.
  void release(std::uint64_t address);

 private:
  const std::vector<IovaRange> ranges_;
  std::map<std::uint64_t, std::uint64_t> used_;  // first address, length
};

}  // namespace nvublk::nvme::pcie
