#pragma once

// NVMe/RDMA as the core sees it. Immutable after construction; make_queue() on any shard.

#include <memory>

#include "engine/error.h"
#include "nvme/transport.h"

namespace nvublk::nvme::rdma {

/// Checks the options and the machine: addresses must be literal and of one family, the interface
/// must exist, and there must be an RDMA device that can be used.
Result<std::unique_ptr<Transport>> make_rdma_transport(const TransportOptions& options);

}  // namespace nvublk::nvme::rdma
