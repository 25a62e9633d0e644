#include "nvme/fabrics_endpoints.h"

#include <utility>

#include <net/if.h>

namespace nvublk::nvme {

namespace {

constexpr int kMaxTos = 255;
constexpr int kMaxAckTimeout = 31;

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

Status add_host_side(const TransportOptions& options, FabricsEndpoints& endpoints) {
  if (!options.host_traddr.empty()) {
    Result<SocketAddress> local = SocketAddress::parse(options.host_traddr, 0);
    if (!local) {
      local.error().text = "host address: " + local.error().text;
      return std::unexpected(std::move(local.error()));
    }
    if (local->family() != endpoints.peer.family()) {
      return fail(ErrorCode::kInvalidArgument,
                  "the host address " + options.host_traddr + " and the target's address " +
                      options.id.traddr + " are not of the same family");
    }
    endpoints.local = *local;
  }
  if (!options.host_trsvcid.empty()) {
    const Result<std::uint16_t> port = parse_port(options.host_trsvcid);
    if (!port) {
      return fail(ErrorCode::kInvalidArgument, "source port: " + port.error().text);
    }
    if (endpoints.local.length_bytes == 0) {
      endpoints.local = SocketAddress::any(endpoints.peer.family());
    }
    endpoints.local.set_port(*port);
  }
  if (!options.host_iface.empty() && ::if_nametoindex(options.host_iface.c_str()) == 0) {
    return fail(ErrorCode::kNotFound,
                "there is no network interface \"" + options.host_iface + "\"");
  }
  if (options.ack_timeout < -1 || options.ack_timeout > kMaxAckTimeout) {
    return fail(ErrorCode::kInvalidArgument,
                "the ack timeout " + std::to_string(options.ack_timeout) + " is not in 0 to 31");
  }
  if (options.tos < -1 || options.tos > kMaxTos) {
    return fail(ErrorCode::kInvalidArgument,
                "the type of service " + std::to_string(options.tos) + " is not in 0 to 255");
  }
  return {};
}

}  // namespace

Result<FabricsEndpoints> fabrics_endpoints(const TransportOptions& options) {
  const Result<std::uint16_t> port =
      options.id.trsvcid.empty() ? default_port(options.id.trtype, options.id.is_discovery())
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
  FabricsEndpoints endpoints;
  endpoints.peer = *peer;
  endpoints.peer_text = endpoint_text(options.id.traddr, *port);
  if (Status status = add_host_side(options, endpoints); !status) {
    return std::unexpected(std::move(status.error()));
  }
  return endpoints;
}

Result<SocketAddress> local_of_queue(const SocketAddress& local, std::uint16_t qid) {
  SocketAddress moved = local;
  if (local.port() == 0) {
    return moved;
  }
  const std::uint32_t port = std::uint32_t{local.port()} + qid;
  if (port > 65535) {
    return fail(ErrorCode::kInvalidArgument,
                "queue " + std::to_string(qid) + " would have the source port " +
                    std::to_string(port) +
                    ", which there is not; give a lower source port, or ask for fewer queues");
  }
  moved.set_port(static_cast<std::uint16_t>(port));
  return moved;
}

}  // namespace nvublk::nvme
