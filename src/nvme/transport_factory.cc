#include "nvme/transport_factory.h"

#include "nvme/pcie/pcie_transport.h"
#include "nvme/rdma/rdma_transport.h"
#include "nvme/tcp/tcp_transport.h"

namespace nvublk::nvme {

Result<std::unique_ptr<Transport>> make_transport(const TransportOptions& options) {
  switch (options.id.trtype) {
    case Trtype::kTcp:
      return tcp::make_tcp_transport(options);
    case Trtype::kPcie:
      return pcie::make_pcie_transport(options);
    case Trtype::kRdma:
      return rdma::make_rdma_transport(options);
    case Trtype::kFibreChannel:
      break;
  }
  return fail(ErrorCode::kUnsupported, "this version of nvublk has no transport " +
                                           std::string(trtype_name(options.id.trtype)) +
                                           "; it has TCP, RDMA and PCIe");
}

}  // namespace nvublk::nvme
