#include "nvme/pcie/pcie_transport.h"

#include <utility>

#include "nvme/pci_address.h"
#include "nvme/pcie/admin_queue.h"
#include "nvme/pcie/io_queue.h"
#include "nvme/pcie/pci_function.h"
#include "nvme/pcie/queue_rings.h"
#include "nvme/pcie/vfio_device.h"

namespace nvublk::nvme::pcie {

namespace {

// What the list of one page in each slot has room for, with any offset in the first page.
constexpr std::uint32_t kMaxTransferBytes = 1024 * 1024;

}  // namespace

PcieTransport::PcieTransport(DeviceOpener opener, PciIds ids, bool controller_memory)
    : opener_(std::move(opener)), ids_(ids), controller_memory_(controller_memory) {}

TransportLimits PcieTransport::limits() const {
  return {.fabrics = false,
          .max_transfer_bytes = kMaxTransferBytes,
          .prp = true,
          .max_segments = QueueRings::kMaxPieces,
          .separate_metadata = true,
          .pci = ids_};
}

void PcieTransport::controller_identified(const spec::IdentifyController& identify) {
  link_->identified(identify);
}

void PcieTransport::no_more_connections() {
  link_->keep_no_device();
}

std::unique_ptr<QueueTransport> PcieTransport::make_queue(Shard& shard,
                                                          const QueueTransportOptions& options,
                                                          RequestTable& requests,
                                                          QueueTransportSink& sink) {
  if (options.qid == 0) {
    return std::make_unique<PcieAdminQueue>(
        shard, PcieAdminQueue::Options{opener_, controller_memory_}, link_, requests, sink);
  }
  return std::make_unique<PcieIoQueue>(shard, options, link_, requests, sink);
}

Result<std::unique_ptr<Transport>> make_pcie_transport(const TransportOptions& options) {
  if (!options.host_trsvcid.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "a local drive has no network in between: leave the source port out");
  }
  const Result<PciAddress> address = PciAddress::parse(options.id.traddr);
  if (!address) {
    return std::unexpected(address.error());
  }
  return std::make_unique<PcieTransport>(
      [address = *address, before = options.before_open]() -> Result<std::shared_ptr<PcieDevice>> {
        if (before) {
          if (Status ready = before(); !ready) {
            return std::unexpected(std::move(ready.error()));
          }
        }
        return VfioDevice::open(address);
      },
      pci_ids(*address), options.controller_memory);
}

}  // namespace nvublk::nvme::pcie
