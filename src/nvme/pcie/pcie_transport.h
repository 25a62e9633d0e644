#pragma once

// NVMe over PCIe as the core sees it: a function that is bound to vfio-pci. Immutable after
// construction; make_queue() on any shard, the admin queue's first.

#include <memory>

#include "engine/error.h"
#include "nvme/pcie/admin_link.h"
#include "nvme/pcie/pcie_device.h"
#include "nvme/transport.h"

namespace nvublk::nvme::pcie {

class PcieTransport final : public Transport {
 public:
  /// `opener` is called, on a thread of its own, for each connect of the admin queue but one that
  /// follows an orderly reset.
  explicit PcieTransport(DeviceOpener opener, PciIds ids = {}, bool controller_memory = false);

  TransportLimits limits() const override;
  void controller_identified(const spec::IdentifyController& identify) override;
  void no_more_connections() override;
  std::unique_ptr<QueueTransport> make_queue(Shard& shard, const QueueTransportOptions& options,
                                             RequestTable& requests,
                                             QueueTransportSink& sink) override;

 private:
  const DeviceOpener opener_;
  const PciIds ids_;
  const bool controller_memory_;
  const std::shared_ptr<AdminLink> link_ = std::make_shared<AdminLink>();
};

/// Checks the address; whether there is a device that can be opened shows when it connects.
Result<std::unique_ptr<Transport>> make_pcie_transport(const TransportOptions& options);

}  // namespace nvublk::nvme::pcie
