#pragma once

// A completion queue in memory. The controller turns the phase tag of an entry when it writes it;
// an entry with the tag of the last round is old. [Base 2.1 §4.2.4] Shard-affine.

#include <cstdint>

#include "nvme/pcie/doorbell.h"
#include "nvme/spec/cqe.h"

namespace nvublk::nvme::pcie {

class CompletionRing {
 public:
  CompletionRing() = default;
  /// `entries` zeroed entries at `memory`.
  CompletionRing(spec::CompletionEntry* memory, std::uint32_t entries, Doorbell doorbell)
      : memory_(memory), entries_(entries), doorbell_(doorbell) {}

  /// Whether there is a new entry; it is read with take().
  bool ready() const { return (status(head_) & 1) == phase_; }
  spec::CompletionEntry take() {
    order_loads_after_phase();
    const spec::CompletionEntry entry = memory_[head_];
    head_++;
    if (head_ == entries_) {
      head_ = 0;
      phase_ ^= 1;
    }
    return entry;
  }
  /// Gives the entries taken back to the controller.
  void release() {
    if (head_ != rung_) {
      rung_ = head_;
      doorbell_.ring(head_);
    }
  }
  std::uint32_t head() const { return head_; }
  Doorbell& doorbell() { return doorbell_; }

 private:
  std::uint16_t status(std::uint32_t index) const {
    // The device writes it at any moment.
    return *reinterpret_cast<const volatile std::uint16_t*>(&memory_[index].status_and_phase);
  }

  spec::CompletionEntry* memory_ = nullptr;
  std::uint32_t entries_ = 0;
  std::uint32_t head_ = 0;
  std::uint32_t rung_ = 0;
  std::uint16_t phase_ = 1;
  Doorbell doorbell_;
};

}  // namespace nvublk::nvme::pcie
