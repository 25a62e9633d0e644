#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/error.h"
#include "engine/time.h"
#include "nvme/tls_key.h"
#include "nvme/transport_id.h"

namespace nvublk::nvme {

/// What a transport needs to know of a controller's options.
struct TransportOptions {
  TransportId id;           ///< of the controller; complete
  std::string host_traddr;  ///< source address, empty: any
  /// Source port, which SPDK calls src_svcid; empty: any. As no two connections to a target can
  /// have the same, it is the admin queue's, and I/O queue n has the n-th after it.
  std::string host_trsvcid;
  std::string host_iface;  ///< interface to bind to, empty: any
  int tos = -1;            ///< type of service, -1: the system's
  int ack_timeout = -1;    ///< 0 to 31: RDMA waits 4.096 us times 2 to that power, TCP as many
                           ///< ms, before a peer that acknowledges nothing is lost; -1: theirs
  /// RDMA: the queue pairs of a shard on one device take their receive buffers from one queue.
  bool shared_receive_queue = false;
  /// TCP: a CRC32C over the header of each PDU, asked for when connecting.
  bool header_digest = false;
  bool data_digest = false;  ///< TCP: a CRC32C over the data of each PDU, likewise
  /// TCP: what connections share with the target; empty: no TLS. transport_options() makes it of
  /// ControllerOptions::tls_key.
  TlsPsk tls;
  bool controller_memory = false;  ///< PCIe: submission queues in the controller's own memory
                                   ///< (CMB), where it has some
  Duration connect_timeout = seconds(5);  ///< for each step of connecting a queue
  /// Local devices: runs each time before the device is opened, on a thread where it may block.
  std::function<Status()> before_open;
};

class Transport;
/// Makes the transport for `options.id`; make_transport of transport_factory.h, or a test's.
using TransportMaker =
    std::function<Result<std::unique_ptr<Transport>>(const TransportOptions& options)>;

}  // namespace nvublk::nvme
