#include "nvme/tcp/tcp_transport.h"

#include <string>
#include <utility>

#include <net/if.h>

#include "nvme/tcp/socket_address.h"
#include "nvme/tcp/tcp_queue.h"

namespace nvublk::nvme::tcp {

namespace {

constexpr int kMaxTos = 255;

bool family_matches(Adrfam adrfam, const SocketAddress& address) {
  switch (adrfam) {
    case Adrfam::kNone:
      return true;
    case Adrfam::kIpv4:
      return address.family() == AF_INET;
    case Adrfam::kIpv6:
      return address.family() == AF_INET6;
    case Adrfam::kInfiniBand:
    case Adrfam::kFibreChannel:
      break;
  }
  return false;
}

Status add_host_side(const TransportOptions& options, TcpSocket::Options& socket) {
  if (!options.host_traddr.empty()) {
    Result<SocketAddress> local = SocketAddress::parse(options.host_traddr, 0);
    if (!local) {
      local.error().text = "host address: " + local.error().text;
      return std::unexpected(std::move(local.error()));
    }
    if (local->family() != socket.peer.family()) {
      return fail(ErrorCode::kInvalidArgument,
                  "the host address " + options.host_traddr + " and the target's address " +
                      options.id.traddr + " are not of the same family");
    }
    socket.local = *local;
  }
  if (!options.host_iface.empty()) {
    if (::if_nametoindex(options.host_iface.c_str()) == 0) {
      return fail(ErrorCode::kNotFound,
                  "there is no network interface \"" + options.host_iface + "\"");
    }
    socket.interface = options.host_iface;
  }
  if (options.tos < -1 || options.tos > kMaxTos) {
    return fail(ErrorCode::kInvalidArgument,
                "the type of service " + std::to_string(options.tos) + " is not in 0 to 255");
  }
  socket.tos = options.tos;
  return {};
}

}  // namespace

TcpTransport::TcpTransport(TcpSocket::Options socket, TcpHandshake::Options handshake)
    : socket_(std::move(socket)), handshake_(std::move(handshake)) {}

TransportLimits TcpTransport::limits() const {
  return {.fabrics = true, .max_transfer_bytes = 0, .prp = false};
}

std::unique_ptr<QueueTransport> TcpTransport::make_queue(Shard& shard,
                                                         const QueueTransportOptions& options,
                                                         RequestTable& requests,
                                                         QueueTransportSink& sink) {
  return std::make_unique<TcpQueue>(shard, TcpQueue::Options{options, socket_, handshake_},
                                    requests, sink);
}

Result<std::unique_ptr<Transport>> make_tcp_transport(const TransportOptions& options) {
  if (options.id.trtype != Trtype::kTcp) {
    return fail(ErrorCode::kInvalidArgument,
                "the transport of " + options.id.traddr + " is not TCP");
  }
  const Result<std::uint16_t> port = options.id.trsvcid.empty()
                                         ? default_port(Trtype::kTcp, options.id.is_discovery())
                                         : parse_port(options.id.trsvcid);
  if (!port) {
    return std::unexpected(port.error());
  }
  Result<SocketAddress> peer = SocketAddress::parse(options.id.traddr, *port);
  if (!peer) {
    return std::unexpected(std::move(peer.error()));
  }
  if (!family_matches(options.id.adrfam, *peer)) {
    return fail(ErrorCode::kInvalidArgument, "the address " + options.id.traddr +
                                                 " is not of the family " +
                                                 std::string(adrfam_name(options.id.adrfam)));
  }
  TcpSocket::Options socket;
  socket.peer = *peer;
  if (Status status = add_host_side(options, socket); !status) {
    return std::unexpected(std::move(status.error()));
  }
  TcpHandshake::Options handshake;
  handshake.peer = endpoint_text(options.id.traddr, *port);
  handshake.header_digest = options.header_digest;
  handshake.data_digest = options.data_digest;
  handshake.step_timeout = options.connect_timeout;
  return std::make_unique<TcpTransport>(std::move(socket), std::move(handshake));
}

}  // namespace nvublk::nvme::tcp
