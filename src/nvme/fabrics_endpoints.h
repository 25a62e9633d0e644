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
  SocketAddress local;    ///< of the admin queue; length 0: any; port 0: any
  std::string peer_text;  ///< "192.0.2.1:4420", for messages
};

/// Addresses must be literal and of one family, ports be ports, the interface must exist, and the
/// type of service be one.
Result<FabricsEndpoints> fabrics_endpoints(const TransportOptions& options);

/// Where queue `qid` connects from: a source port of its own, if there are any.
Result<SocketAddress> local_of_queue(const SocketAddress& local, std::uint16_t qid);

}  // namespace nvublk::nvme
