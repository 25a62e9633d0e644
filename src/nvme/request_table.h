#pragma once

// Internal: the slots of a queue pair. A CID is the slot's index plus a generation that changes
// with every use, so that an answer to a command that is long gone finds nothing. Shard-affine.

#include <cstdint>
#include <memory>

#include "engine/check.h"
#include "nvme/request.h"

namespace nvublk::nvme {

class RequestTable {
 public:
  static constexpr std::uint32_t kMaxSlots = 4096;

  /// `size` slots, 1 to kMaxSlots.
  explicit RequestTable(std::uint32_t size);
  RequestTable(const RequestTable&) = delete;
  RequestTable& operator=(const RequestTable&) = delete;

  std::uint32_t size() const { return size_; }
  std::uint32_t in_use() const { return in_use_; }
  bool full() const { return in_use_ == size_; }

  /// A free slot with its CID set, null if there is none. The most recently freed one: its memory
  /// is warm.
  Request* acquire() {
    if (full()) {
      return nullptr;
    }
    in_use_++;
    Request& request = slots_[free_[size_ - in_use_]];
    CHECK(!request.active);
    request.active = true;
    request.metadata = nullptr;
    request.metadata_bytes = 0;
    request.cid = next_cid(request.cid);
    return &request;
  }
  void release(Request& request) {
    CHECK(request.active && in_use_ > 0);
    request.active = false;
    free_[size_ - in_use_] = request.slot;
    in_use_--;
  }

  /// The active request with `cid`, which may be anything a device sent; null if there is none.
  Request* find(std::uint16_t cid) {
    const std::uint32_t index = cid & index_mask_;
    if (index >= size_) {
      return nullptr;
    }
    Request& request = slots_[index];
    return request.active && request.cid == cid ? &request : nullptr;
  }
  Request& at(std::uint32_t index) {
    CHECK(index < size_);
    return slots_[index];
  }

 private:
  std::uint16_t next_cid(std::uint16_t cid) const {
    const auto next = static_cast<std::uint16_t>(cid + index_mask_ + 1);
    // FFFFh is reserved for error information that belongs to no command.
    return next == 0xffff ? static_cast<std::uint16_t>(next + index_mask_ + 1) : next;
  }

  std::uint32_t size_;
  std::uint32_t index_mask_;
  std::uint32_t in_use_ = 0;
  std::unique_ptr<Request[]> slots_;
  std::unique_ptr<std::uint16_t[]> free_;  // a stack of size_ - in_use_ indices
};

}  // namespace nvublk::nvme
