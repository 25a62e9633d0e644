#pragma once

// A PCI function that is bound to vfio-pci: its registers mapped, its interrupts as eventfds.
// Thread-safe.

#include <memory>
#include <vector>

#include "engine/fd.h"
#include "nvme/pci_address.h"
#include "nvme/pcie/pcie_device.h"
#include "nvme/pcie/vfio_space.h"

namespace nvublk::nvme::pcie {

class VfioDevice final : public PcieDevice {
 public:
  /// Says in words what is missing. May take a while: the kernel resets the function.
  static Result<std::shared_ptr<PcieDevice>> open(const PciAddress& address);
  ~VfioDevice() override;
  VfioDevice(const VfioDevice&) = delete;
  VfioDevice& operator=(const VfioDevice&) = delete;

  Registers registers() override { return Registers(bar_); }
  Result<std::uint64_t> map(std::span<std::byte> memory) override { return space_->map(memory); }
  void unmap(std::span<std::byte> memory, std::uint64_t address) override {
    space_->unmap(memory, address);
  }
  Result<std::span<std::byte>> map_bar(unsigned bar, std::uint64_t offset,
                                       std::uint64_t length_bytes) override;
  Result<std::uint64_t> reserve_addresses(std::uint64_t length_bytes) override {
    return space_->reserve(length_bytes);
  }
  Result<std::uint64_t> reserve_bar_addresses(unsigned bar, std::uint64_t offset,
                                              std::uint64_t length_bytes) override;
  void release_addresses(std::uint64_t address) override { space_->release(address); }
  unsigned interrupt_count() const override { return static_cast<unsigned>(interrupts_.size()); }
  int interrupt_fd(unsigned vector) const override { return interrupts_[vector].get(); }
  int removal_fd() const override { return removal_.get(); }
  void stop_dma() override;

 private:
  VfioDevice(const PciAddress& address, VfioOpened opened)
      : address_(address), space_(std::move(opened.space)), fd_(std::move(opened.device)) {}
  Result<std::span<std::byte>> map_region(unsigned bar, std::uint64_t offset,
                                          std::uint64_t length_bytes);
  Status map_registers();
  Status set_command(bool bus_master);
  Status enable_interrupts();
  void watch_removal();
  Status set_eventfds(unsigned index, const std::vector<UniqueFd>& events);

  const PciAddress address_;
  const std::unique_ptr<VfioSpace> space_;
  const UniqueFd fd_;
  std::span<std::byte> bar_;
  std::span<std::byte> memory_;  // map_bar()'s
  std::vector<UniqueFd> interrupts_;
  UniqueFd removal_;
};

}  // namespace nvublk::nvme::pcie
