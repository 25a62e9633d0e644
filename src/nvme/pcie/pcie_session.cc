#include "nvme/pcie/pcie_session.h"

namespace nvublk::nvme::pcie {

PcieSession::~PcieSession() {
  if (shadow_address_ != 0) {
    device_->unmap(shadows_.span(), shadow_address_);
  }
}

Status PcieSession::make_shadows() {
  auto memory = DmaRegion::allocate(std::size_t{2} * kPage);
  if (!memory) {
    return std::unexpected(std::move(memory.error()));
  }
  const auto address = device_->map(memory->span());
  if (!address) {
    return std::unexpected(address.error());
  }
  shadows_ = std::move(*memory);
  shadow_address_ = *address;
  return {};
}

Status PcieSession::use_controller_memory(spec::Cap cap) {
  auto memory = ControllerMemory::open(*device_, cap);
  if (!memory) {
    return std::unexpected(std::move(memory.error()));
  }
  controller_memory_ = std::move(*memory);
  return {};
}

// Shadows lie as the registers do. [Base 2.1 §B.5]
Doorbell PcieSession::doorbell(std::uint32_t offset) {
  Doorbell doorbell(device_->registers().word(offset));
  const std::uint32_t place = offset - spec::kDoorbellOffset;
  if (shadows_used_ && place < kPage) {
    std::byte* shadow = shadows_.data() + place;
    doorbell.use_shadow(reinterpret_cast<std::uint32_t*>(shadow),
                        reinterpret_cast<const std::uint32_t*>(shadow + kPage));
  }
  return doorbell;
}

}  // namespace nvublk::nvme::pcie
