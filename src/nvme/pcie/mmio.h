#pragma once

// Reads and writes of device registers, and the barriers between them and memory that the device
// sees. Registers are little endian, as is every machine that this builds for.

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/check.h"
#include "nvme/spec/properties.h"

namespace nvublk::nvme::pcie {

static_assert(std::endian::native == std::endian::little);

/// Before a doorbell: the device must find in memory what the doorbell announces. x86 keeps the
/// order of stores to memory and to registers; other machines need to be told.
inline void order_stores_before_register() {
#if defined(__aarch64__)
  __asm__ volatile("dmb oshst" ::: "memory");
#elif defined(__x86_64__)
  __asm__ volatile("" ::: "memory");
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/// After the phase tag was read: the rest of the entry must not have been read before it.
inline void order_loads_after_phase() {
#if defined(__aarch64__)
  __asm__ volatile("dmb oshld" ::: "memory");
#else
  __asm__ volatile("" ::: "memory");
#endif
}

/// Between a store and a load that the device may see in any order otherwise, on x86 too.
inline void order_store_before_load() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

inline void write_register(std::uint32_t* address, std::uint32_t value) {
  *static_cast<volatile std::uint32_t*>(address) = value;
}

/// The controller's registers, BAR0.
class Registers {
 public:
  Registers() = default;
  explicit Registers(std::span<std::byte> memory) : memory_(memory) {}

  std::size_t size_bytes() const { return memory_.size(); }
  std::uint32_t read32(std::uint32_t offset) const {
    return *static_cast<volatile std::uint32_t*>(word(offset));
  }
  /// Two halves: not every controller answers reads of 8 bytes. [PCIe 1.1 §3.1.1]
  std::uint64_t read64(std::uint32_t offset) const {
    const std::uint64_t low = read32(offset);
    return low | (static_cast<std::uint64_t>(read32(offset + 4)) << 32);
  }
  void write32(std::uint32_t offset, std::uint32_t value) { write_register(word(offset), value); }
  void write64(std::uint32_t offset, std::uint64_t value) {
    write32(offset, static_cast<std::uint32_t>(value));
    write32(offset + 4, static_cast<std::uint32_t>(value >> 32));
  }
  std::uint32_t* word(std::uint32_t offset) const {
    CHECK(offset % 4 == 0 && memory_.size() >= 4 && offset <= memory_.size() - 4);
    return reinterpret_cast<std::uint32_t*>(memory_.data() + offset);
  }

  std::uint64_t read(spec::Property property) const {
    const auto offset = static_cast<std::uint32_t>(property);
    return spec::is_8_byte_property(property) ? read64(offset) : read32(offset);
  }
  void write(spec::Property property, std::uint64_t value) {
    const auto offset = static_cast<std::uint32_t>(property);
    if (spec::is_8_byte_property(property)) {
      write64(offset, value);
    } else {
      write32(offset, static_cast<std::uint32_t>(value));
    }
  }

 private:
  std::span<std::byte> memory_;
};

}  // namespace nvublk::nvme::pcie
