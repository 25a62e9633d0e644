#pragma once

// A submission queue in memory. It has an entry more than there can be commands, so it is never
// full. [Base 2.1 §3.3.1.2] Shard-affine.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "nvme/pcie/doorbell.h"
#include "nvme/spec/sqe.h"

namespace nvublk::nvme::pcie {

class SubmissionRing {
 public:
  SubmissionRing() = default;
  /// `in_controller`: `memory` is not memory but the controller's.
  SubmissionRing(spec::SubmissionEntry* memory, std::uint32_t entries, Doorbell doorbell,
                 bool in_controller = false)
      : memory_(memory), entries_(entries), in_controller_(in_controller), doorbell_(doorbell) {}

  void put(const spec::SubmissionEntry& sqe) {
    if (in_controller_) [[unlikely]] {
      write_words(&memory_[tail_], sqe);
    } else {
      std::memcpy(&memory_[tail_], &sqe, sizeof(sqe));
    }
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
  // Devices take writes of 8 bytes at most for granted, and vector registers are more.
  static void write_words(spec::SubmissionEntry* place, const spec::SubmissionEntry& sqe) {
    std::array<std::uint64_t, sizeof(sqe) / sizeof(std::uint64_t)> words;
    std::memcpy(words.data(), &sqe, sizeof(sqe));
    auto* to = reinterpret_cast<volatile std::uint64_t*>(place);
    for (std::size_t i = 0; i < words.size(); i++) {
      to[i] = words[i];
    }
  }

  spec::SubmissionEntry* memory_ = nullptr;
  std::uint32_t entries_ = 0;
  bool in_controller_ = false;
  std::uint32_t tail_ = 0;
  std::uint32_t rung_ = 0;
  Doorbell doorbell_;
};

}  // namespace nvublk::nvme::pcie
