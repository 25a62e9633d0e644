#pragma once

// Host names to addresses, for the command line: the daemon itself never waits for a name server.

#include <string>
#include <vector>

#include "engine/error.h"
#include "nvme/transport_id.h"

namespace nvublk::service {

/// The literal addresses of `host` in the resolver's order, without duplicates; `host` itself if it
/// is one. `adrfam` limits them to a family unless it is kNone.
Result<std::vector<std::string>> resolve_host(const std::string& host, nvme::Adrfam adrfam);

}  // namespace nvublk::service
