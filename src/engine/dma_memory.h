#pragma once

// Memory that a device, or the kernel, reads and writes while we look away: huge pages where there
// are any, else locked 4 KiB pages. A region cannot be released while somebody may still write to
// it: hold a DmaUse for as long as that is so.

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "engine/check.h"
#include "engine/error.h"
#include "engine/numa.h"

namespace nvublk {

/// Owns memory for data. Not to be released while a DmaUse of it lives.
class DmaRegion {
 public:
  /// Zeroed, page aligned memory of at least `length_bytes`. Falls back from huge pages to normal
  /// ones, and from locked to unlocked ones if the limit on locked memory forbids it. On memory
  /// node `numa_node` where that has any left; else as the calling thread's memory.
  static Result<DmaRegion> allocate(std::size_t length_bytes, int numa_node = kNoNumaNode);
  /// Zeroed, page aligned address space whose pages come when they are first touched, unlocked: for
  /// large buffers of which most are rarely used in full. Whoever maps it for a device pins it.
  static Result<DmaRegion> reserve(std::size_t length_bytes);

  DmaRegion() = default;
  /// Takes the memory over; neither region may be in use (DmaUse).
  DmaRegion(DmaRegion&& other) noexcept { swap(other); }
  /// Takes the memory over and releases what was there; neither region may be in use (DmaUse).
  DmaRegion& operator=(DmaRegion&& other) noexcept {
    DmaRegion moved(std::move(other));
    swap(moved);
    return *this;
  }
  DmaRegion(const DmaRegion&) = delete;
  DmaRegion& operator=(const DmaRegion&) = delete;
  ~DmaRegion();

  /// Its first byte; null if there is none.
  std::byte* data() const { return data_; }
  /// At least what was asked for.
  std::size_t size_bytes() const { return length_bytes_; }
  /// All of it.
  std::span<std::byte> span() const { return {data_, length_bytes_}; }
  /// Whether all of `data` lies in it.
  bool contains(const std::byte* data, std::size_t length_bytes) const {
    return data >= data_ && length_bytes <= length_bytes_ &&
           static_cast<std::size_t>(data - data_) <= length_bytes_ - length_bytes;
  }
  /// Whether it is made of huge pages.
  bool huge() const { return huge_; }
  /// Whether its pages cannot be swapped out.
  bool locked() const { return locked_; }

 private:
  friend class DmaUse;
  void swap(DmaRegion& other) noexcept {
    CHECK(uses_ == 0 && other.uses_ == 0);
    std::swap(data_, other.data_);
    std::swap(length_bytes_, other.length_bytes_);
    std::swap(huge_, other.huge_);
    std::swap(locked_, other.locked_);
  }

  std::byte* data_ = nullptr;
  std::size_t length_bytes_ = 0;
  bool huge_ = false;
  bool locked_ = false;
  std::uint32_t uses_ = 0;
};

/// As long as it lives, its region stays: a device may write there.
class DmaUse {
 public:
  /// `region` must neither move nor end while this lives.
  explicit DmaUse(DmaRegion& region) : region_(&region) { region.uses_++; }
  /// Takes the use over.
  DmaUse(DmaUse&& other) noexcept : region_(std::exchange(other.region_, nullptr)) {}
  DmaUse(const DmaUse&) = delete;
  DmaUse& operator=(const DmaUse&) = delete;
  DmaUse& operator=(DmaUse&&) = delete;
  ~DmaUse() {
    if (region_ != nullptr) {
      region_->uses_--;
    }
  }

 private:
  DmaRegion* region_;
};

}  // namespace nvublk
