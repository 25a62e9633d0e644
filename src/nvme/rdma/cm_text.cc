#include "nvme/rdma/cm_text.h"

#include <cerrno>
#include <cstring>

#include "nvme/spec/rdma_cm.h"

namespace nvublk::nvme::rdma {

namespace {

std::string controller_reject_text(spec::RdmaRejectStatus status) {
  using Status = spec::RdmaRejectStatus;
  switch (status) {
    case Status::kInvalidPrivateDataLength:
      return "the private data of the request has a length that it does not know (RDMA Invalid "
             "Private Data Length)";
    case Status::kInvalidRecfmt:
      return "it does not know the format of the request (RDMA Invalid RECFMT)";
    case Status::kInvalidQid:
      return "it does not have a queue of this number (RDMA Invalid QID); use fewer --io-queues";
    case Status::kInvalidHsqsize:
      return "the send queue is larger than it allows (RDMA Invalid HSQSIZE); use a smaller "
             "--queue-size";
    case Status::kInvalidHrqsize:
      return "the receive queue is larger than it allows (RDMA Invalid HRQSIZE); use a smaller "
             "--queue-size";
    case Status::kNoResources:
      return "it has no resources for another queue (RDMA No Resources); use fewer --io-queues or "
             "a smaller --queue-size";
    case Status::kInvalidIrd:
      return "it does not accept the number of RDMA reads that we allow (RDMA Invalid IRD)";
    case Status::kInvalidOrd:
      return "it does not accept the number of RDMA reads that we want (RDMA Invalid ORD)";
    case Status::kInvalidCntlid:
      return "it does not have the controller of this queue any more (RDMA Invalid CNTLID)";
  }
  return "it gave the unknown status " + std::to_string(static_cast<unsigned>(status));
}

}  // namespace

std::string reject_text(int reason, std::span<const std::byte> data) {
  switch (reason) {
    case kRejectInvalidService:
    case -ECONNREFUSED:
      return "nothing listens there: is the target running, and is the port right?";
    case kRejectStaleConnection:
      return "it still has the old connection of this queue pair; try again in a moment";
    case kRejectConsumer: {
      spec::RdmaRejectData reject;
      if (data.size() < sizeof(reject)) {
        return "it gave no reason; is it an NVMe/RDMA port?";
      }
      std::memcpy(&reject, data.data(), sizeof(reject));
      if (reject.recfmt.get() != spec::kRdmaRecordFormat) {
        return "its reason is in a format that nvublk does not know; is it an NVMe/RDMA port?";
      }
      return controller_reject_text(reject.status());
    }
    default:
      if (reason < 0) {
        return std::strerror(-reason);
      }
      return "the connection manager's reason is " + std::to_string(reason);
  }
}

}  // namespace nvublk::nvme::rdma
