#pragma once

// The one place that names all transports.

#include <memory>

#include "engine/error.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

/// The transport for `options.id.trtype`; an error that says why not if this build or machine has
/// none.
Result<std::unique_ptr<Transport>> make_transport(const TransportOptions& options);

}  // namespace nvublk::nvme
