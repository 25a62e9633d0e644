#pragma once

// An open device and what of this process's memory it sees: made when the admin queue connects,
// shared by all queues of the controller, and closed with the last of them. Thread-safe.

#include <cstdint>
#include <memory>
#include <utility>

#include "nvme/pcie/controller_memory.h"
#include "nvme/pcie/dma_space.h"
#include "nvme/pcie/doorbell.h"
#include "nvme/pcie/pcie_device.h"
#include "nvme/spec/properties.h"

namespace nvublk::nvme::pcie {

class PcieSession {
 public:
  explicit PcieSession(std::shared_ptr<PcieDevice> opened)
      : device_(std::move(opened)), space_(*device_) {}

  ~PcieSession();
  PcieSession(const PcieSession&) = delete;
  PcieSession& operator=(const PcieSession&) = delete;

  PcieDevice& device() { return *device_; }
  const std::shared_ptr<PcieDevice>& shared_device() const { return device_; }
  DmaSpace& space() { return space_; }

  /// Memory for shadow doorbells and their event indices, a page each; use_shadows() once the
  /// controller knows of it. Both before any I/O queue has this session.
  Status make_shadows();
  std::uint64_t shadow_address() const { return shadow_address_; }
  std::uint64_t event_address() const { return shadow_address_ + kPage; }
  void use_shadows() { shadows_used_ = true; }
  /// Has I/O queues made in the controller's own memory from now on. Before any I/O queue has this
  /// session; the error says why that cannot be.
  Status use_controller_memory(spec::Cap cap);
  /// Null: it is not used.
  ControllerMemory* controller_memory() const { return controller_memory_.get(); }
  /// How commands may have SGLs, see IdentifyController::sgl_support(); 0 until it is set. Before
  /// any I/O queue has this session.
  void set_sgl_support(std::uint32_t support) { sgl_support_ = support; }
  std::uint32_t sgl_support() const { return sgl_support_; }
  /// The doorbell at `offset` of the registers, with its shadow if there is one.
  Doorbell doorbell(std::uint32_t offset);

  /// Where the doorbell of a submission queue is, or that of its completion queue.
  /// [PCIe 1.1 §3.1.2]
  static std::uint32_t doorbell_offset(spec::Cap cap, std::uint16_t qid, bool completion) {
    return spec::kDoorbellOffset + (2u * qid + (completion ? 1 : 0)) * cap.doorbell_stride_bytes();
  }

 private:
  static constexpr std::uint32_t kPage = 4096;

  const std::shared_ptr<PcieDevice> device_;
  DmaSpace space_;
  DmaRegion shadows_;
  std::uint64_t shadow_address_ = 0;
  bool shadows_used_ = false;
  std::unique_ptr<ControllerMemory> controller_memory_;
  std::uint32_t sgl_support_ = 0;
};

}  // namespace nvublk::nvme::pcie
