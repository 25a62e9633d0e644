#pragma once

// Where a fabrics transport connects to and from, checked. Pure, but for a look at the machine's
// network interfaces.

#include <string>

#include "engine/error.h"
#include "nvme/socket_address.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

struct FabricsEndpoints {
  SocketAddress peer;
  SocketAddress local;    ///< length 0: any
  std::string peer_text;  ///< "192.0.2.1:4420", for messages
};

/// Addresses must be literal and of one family, the interface must exist, and the type of service
/// be one.
Result<FabricsEndpoints> fabrics_endpoints(const TransportOptions& options);

}  // namespace nvublk::nvme
