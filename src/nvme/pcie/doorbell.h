#pragma once

// One doorbell: a register, and where the controller has shadow doorbells a place in memory that
// it reads itself, so that most rings cost no register write. [Base 2.1 §B.5] Shard-affine.

#include <cstdint>

#include "nvme/pcie/mmio.h"

namespace nvublk::nvme::pcie {

class Doorbell {
 public:
  Doorbell() = default;
  explicit Doorbell(std::uint32_t* reg) : register_(reg) {}
  /// From now on through `shadow`; the controller says in `event_index` from where on it wants to
  /// be told.
  void use_shadow(std::uint32_t* shadow, const std::uint32_t* event_index) {
    shadow_ = shadow;
    event_index_ = event_index;
  }

  /// Announces `value`; what it announces must be in memory in program order before this.
  void ring(std::uint32_t value) {
    order_stores_before_register();
    if (shadow_ == nullptr) {
      write_register(register_, value);
      registers_written_++;
      return;
    }
    const std::uint32_t old = *shadow_;
    *static_cast<volatile std::uint32_t*>(shadow_) = value;
    // The controller writes its event index, then looks at the shadow; we do it the other way
    // round, so that one of us sees the other.
    order_store_before_load();
    const std::uint32_t event = *static_cast<const volatile std::uint32_t*>(event_index_);
    // Queue positions have 16 bits and wrap.
    const auto passed = static_cast<std::uint16_t>(value - event - 1);
    if (passed < static_cast<std::uint16_t>(value - old)) {
      write_register(register_, value);
      registers_written_++;
    }
  }
  std::uint64_t registers_written() const { return registers_written_; }

 private:
  std::uint32_t* register_ = nullptr;
  std::uint32_t* shadow_ = nullptr;
  const std::uint32_t* event_index_ = nullptr;
  std::uint64_t registers_written_ = 0;
};

}  // namespace nvublk::nvme::pcie
