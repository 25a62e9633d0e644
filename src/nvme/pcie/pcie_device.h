#pragma once

// What the queues need of a PCI function that carries a controller: its registers, memory that it
// may reach, and interrupts as descriptors. VFIO has one implementation, tests another.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "engine/error.h"
#include "nvme/pcie/mmio.h"

namespace nvublk::nvme::pcie {

/// Thread-safe: queues on several shards share it.
class PcieDevice {
 public:
  virtual ~PcieDevice() = default;

  virtual Registers registers() = 0;
  /// Lets the device reach `memory`, page aligned; returns the address under which it does.
  virtual Result<std::uint64_t> map(std::span<std::byte> memory) = 0;
  virtual void unmap(std::span<std::byte> memory, std::uint64_t address) = 0;

  /// A part of a BAR that is the controller's memory; stays mapped as long as the device is open.
  virtual Result<std::span<std::byte>> map_bar(unsigned bar, std::uint64_t offset,
                                               std::uint64_t length_bytes) = 0;
  /// Addresses under which the device reaches none of our memory, page aligned.
  virtual Result<std::uint64_t> reserve_addresses(std::uint64_t length_bytes) = 0;
  /// The same, those that the part of the BAR has on the bus.
  virtual Result<std::uint64_t> reserve_bar_addresses(unsigned bar, std::uint64_t offset,
                                                      std::uint64_t length_bytes) = 0;
  virtual void release_addresses(std::uint64_t address) = 0;

  /// How many interrupt vectors there are, and the eventfd of one; the device owns it.
  virtual unsigned interrupt_count() const = 0;
  virtual int interrupt_fd(unsigned vector) const = 0;
  /// Becomes readable when the kernel wants the device back; -1 if it never will.
  virtual int removal_fd() const = 0;
  /// When this returns the device touches no memory any more, whatever state it was in.
  virtual void stop_dma() = 0;
};

/// Opens the device anew; may block.
using DeviceOpener = std::function<Result<std::shared_ptr<PcieDevice>>()>;

}  // namespace nvublk::nvme::pcie
