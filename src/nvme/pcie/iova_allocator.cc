#include "nvme/pcie/iova_allocator.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"

namespace nvublk::nvme::pcie {

namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kHugePage = 2 * 1024 * 1024;

}  // namespace

IovaAllocator::IovaAllocator(std::vector<IovaRange> ranges) : ranges_(std::move(ranges)) {}

std::optional<std::uint64_t> IovaAllocator::allocate(std::uint64_t length_bytes) {
  CHECK(length_bytes > 0 && length_bytes % kPage == 0);
  // Large regions begin where the IOMMU can use large pages.
  const std::uint64_t alignment = length_bytes >= kHugePage ? kHugePage : kPage;
  for (const IovaRange& range : ranges_) {
    std::uint64_t at = std::max(range.first, kPage);
    while (true) {
      at = (at + alignment - 1) / alignment * alignment;
      if (at > range.last || length_bytes - 1 > range.last - at) {
        break;
      }
      // The first allocation that ends behind `at` is the only one that can be in the way.
      auto next = used_.lower_bound(at);
      if (next != used_.begin()) {
        const auto before = std::prev(next);
        if (before->first + before->second > at) {
          next = before;
        }
      }
      if (next == used_.end() || next->first >= at + length_bytes) {
        used_.emplace(at, length_bytes);
        return at;
      }
      at = next->first + next->second;
    }
  }
  return std::nullopt;
}

bool IovaAllocator::take(std::uint64_t address, std::uint64_t length_bytes) {
  CHECK(length_bytes > 0);
  const auto next = used_.lower_bound(address);
  if (next != used_.end() && next->first - address < length_bytes) {
    return false;
  }
  if (next != used_.begin()) {
    const auto before = std::prev(next);
    if (address - before->first < before->second) {
      return false;
    }
  }
  used_.emplace(address, length_bytes);
  return true;
}

void IovaAllocator::release(std::uint64_t address) {
  CHECK(used_.erase(address) == 1);
}

}  // namespace nvublk::nvme::pcie
