#pragma once

// A submission queue in memory. It has an entry more than there can be commands, so it is never
// full. [Base 2.1 §3.3.1.2] Shard-affine.

#include <cstdint>
#include <cstring>

#include "nvme/pcie/doorbell.h"
#include "nvme/spec/sqe.h"

namespace nvublk::nvme::pcie {

class SubmissionRing {
 public:
  SubmissionRing() = default;
  SubmissionRing(spec::SubmissionEntry* memory, std::uint32_t entries, Doorbell doorbell)
      : memory_(memory), entries_(entries), doorbell_(doorbell) {}

  void put(const spec::SubmissionEntry& sqe) {
    std::memcpy(&memory_[tail_], &sqe, sizeof(sqe));
    tail_++;
    if (tail_ == entries_) {
      tail_ = 0;
    }
  }
  /// Tells the controller of all that was put.
  void release() {
    if (tail_ != rung_) {
      rung_ = tail_;
      doorbell_.ring(tail_);
    }
  }
  std::uint32_t tail() const { return tail_; }
  std::uint32_t entries() const { return entries_; }
  Doorbell& doorbell() { return doorbell_; }

 private:
  spec::SubmissionEntry* memory_ = nullptr;
  std::uint32_t entries_ = 0;
  std::uint32_t tail_ = 0;
  std::uint32_t rung_ = 0;
  Doorbell doorbell_;
};

}  // namespace nvublk::nvme::pcie
