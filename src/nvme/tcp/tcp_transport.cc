#include "nvme/tcp/tcp_transport.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "nvme/fabrics_endpoints.h"
#include "nvme/tcp/tcp_queue.h"

namespace nvublk::nvme::tcp {

TcpTransport::TcpTransport(TcpSocket::Options socket, TcpHandshake::Options handshake,
                           std::unique_ptr<TlsContext> tls)
    : socket_(std::move(socket)), handshake_(std::move(handshake)), tls_(std::move(tls)) {}

TransportLimits TcpTransport::limits() const {
  return {.fabrics = true, .max_transfer_bytes = 0, .prp = false, .tls = tls_ != nullptr};
}

std::unique_ptr<QueueTransport> TcpTransport::make_queue(Shard& shard,
                                                         const QueueTransportOptions& options,
                                                         RequestTable& requests,
                                                         QueueTransportSink& sink) {
  return std::make_unique<TcpQueue>(
      shard, TcpQueue::Options{options, socket_, handshake_, tls_.get()}, requests, sink);
}

Result<std::unique_ptr<Transport>> make_tcp_transport(const TransportOptions& options) {
  if (options.id.trtype != Trtype::kTcp) {
    return fail(ErrorCode::kInvalidArgument,
                "the transport of " + options.id.traddr + " is not TCP");
  }
  Result<FabricsEndpoints> endpoints = fabrics_endpoints(options);
  if (!endpoints) {
    return std::unexpected(std::move(endpoints.error()));
  }
  TcpSocket::Options socket;
  socket.peer = endpoints->peer;
  socket.local = endpoints->local;
  socket.interface = options.host_iface;
  socket.tos = options.tos;
  if (options.ack_timeout >= 0) {
    socket.user_timeout_ms = static_cast<int>(
        std::min<std::uint32_t>(1u << options.ack_timeout, std::numeric_limits<int>::max()));
  }
  TcpHandshake::Options handshake;
  handshake.peer = endpoints->peer_text;
  handshake.header_digest = options.header_digest;
  handshake.data_digest = options.data_digest;
  handshake.step_timeout = options.connect_timeout;
  std::unique_ptr<TlsContext> tls;
  if (!options.tls.empty()) {
    Result<std::unique_ptr<TlsContext>> made = TlsContext::make(options.tls);
    if (!made) {
      return std::unexpected(std::move(made.error()));
    }
    tls = std::move(*made);
  }
  return std::make_unique<TcpTransport>(std::move(socket), std::move(handshake), std::move(tls));
}

}  // namespace nvublk::nvme::tcp
