#include "target/bad_blocks.h"

#include <algorithm>
#include <iterator>

namespace nvublk::target {

void BadBlocks::cut(std::uint64_t lba, std::uint64_t end) {
  auto at = ranges_.lower_bound(lba);
  if (at != ranges_.begin() && std::prev(at)->second > lba) --at;
  while (at != ranges_.end() && at->first < end) {
    const auto [first, last] = *at;
    at = ranges_.erase(at);
    if (first < lba) ranges_.emplace(first, lba);
    if (last > end) ranges_.emplace(end, last);
  }
}

void BadBlocks::add(std::uint64_t lba, std::uint64_t blocks) {
  const std::lock_guard lock(mutex_);
  cut(lba, lba + blocks);
  ranges_.emplace(lba, lba + blocks);
  some_.store(true, std::memory_order_release);
}

void BadBlocks::remove(std::uint64_t lba, std::uint64_t blocks) {
  if (!some_.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(mutex_);
  cut(lba, lba + blocks);
  some_.store(!ranges_.empty(), std::memory_order_release);
}

bool BadBlocks::any(std::uint64_t lba, std::uint64_t blocks) const {
  if (!some_.load(std::memory_order_acquire)) return false;
  const std::lock_guard lock(mutex_);
  auto at = ranges_.upper_bound(lba);
  if (at != ranges_.begin() && std::prev(at)->second > lba) return true;
  return at != ranges_.end() && at->first < lba + blocks;
}

}  // namespace nvublk::target
