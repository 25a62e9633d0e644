#pragma once

// The controller's own memory (CMB), where submission queues may lie: the controller then fetches
// commands from itself. Made before the controller is enabled, and there as long as its device is
// open. allocate() and release() are thread-safe. [PCIe 1.1 §3.2.1]

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "engine/error.h"
#include "nvme/pcie/iova_allocator.h"
#include "nvme/pcie/pcie_device.h"
#include "nvme/spec/properties.h"

namespace nvublk::nvme::pcie {

class ControllerMemory {
 public:
  struct Piece {
    std::byte* memory = nullptr;  ///< only to be written, in words of 8 bytes
    std::uint64_t address = 0;    ///< as the controller knows it
  };

  /// Asks the controller for its memory; the error says why it has none that can be used.
  static Result<std::unique_ptr<ControllerMemory>> open(PcieDevice& device, spec::Cap cap);
  /// No queue lies in it.
  ~ControllerMemory();
  ControllerMemory(const ControllerMemory&) = delete;
  ControllerMemory& operator=(const ControllerMemory&) = delete;

  std::size_t size_bytes() const { return memory_.size(); }
  /// `length_bytes` is a multiple of the page size. Nothing if there is no room.
  std::optional<Piece> allocate(std::size_t length_bytes);
  void release(const Piece& piece);

 private:
  ControllerMemory(PcieDevice& device, std::span<std::byte> memory, std::uint64_t address)
      : device_(device),
        memory_(memory),
        address_(address),
        pieces_({{address, address + memory.size() - 1}}) {}

  PcieDevice& device_;
  const std::span<std::byte> memory_;
  const std::uint64_t address_;
  std::mutex mutex_;
  IovaAllocator pieces_;  // by mutex_
};

}  // namespace nvublk::nvme::pcie
