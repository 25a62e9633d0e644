#pragma once

#include "engine/error.h"

namespace nvublk::nvme::rdma {

/// Whether this machine can do RDMA at all: a device, its modules, its user-space driver, and the
/// permission to use them. The error says which is missing.
Status check_rdma_environment();

}  // namespace nvublk::nvme::rdma
