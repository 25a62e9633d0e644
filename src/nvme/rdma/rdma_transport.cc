#include "nvme/rdma/rdma_transport.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <ifaddrs.h>
#include <netinet/in.h>

#include "nvme/fabrics_endpoints.h"
#include "nvme/rdma/rdma_command.h"
#include "nvme/rdma/rdma_environment.h"
#include "nvme/rdma/rdma_queue.h"

namespace nvublk::nvme::rdma {

namespace {

// A keyed descriptor can name 16 MiB less one byte; whole pages of that. [Base 2.1 §4.3.2]
constexpr std::uint32_t kMaxTransferBytes = (1u << 24) - 4096;

class RdmaTransport final : public Transport {
 public:
  RdmaTransport(CmConnection::Options connection, std::string peer, Duration step_timeout,
                bool share_receives)
      : connection_(connection),
        peer_(std::move(peer)),
        step_timeout_(step_timeout),
        share_receives_(share_receives) {}

  TransportLimits limits() const override {
    return {.fabrics = true,
            .max_transfer_bytes = kMaxTransferBytes,
            .max_segments = Capsule::kMaxDescriptors};
  }
  std::unique_ptr<QueueTransport> make_queue(Shard& shard, const QueueTransportOptions& options,
                                             RequestTable& requests,
                                             QueueTransportSink& sink) override {
    return std::make_unique<RdmaQueue>(
        shard, RdmaQueue::Options{options, connection_, peer_, step_timeout_, share_receives_},
        requests, sink);
  }

 private:
  const CmConnection::Options connection_;
  const std::string peer_;
  const Duration step_timeout_;
  const bool share_receives_;
};

// The connection manager knows no interfaces, only addresses: the first of `name` and `family`.
Result<SocketAddress> address_of_interface(const std::string& name, int family) {
  ifaddrs* raw = nullptr;
  if (::getifaddrs(&raw) != 0) {
    return fail_errno(errno, "cannot list the addresses of this machine");
  }
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(raw, &::freeifaddrs);
  for (const ifaddrs* each = raw; each != nullptr; each = each->ifa_next) {
    if (name == each->ifa_name && each->ifa_addr != nullptr &&
        each->ifa_addr->sa_family == family) {
      SocketAddress address;
      address.length_bytes = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
      std::memcpy(&address.storage, each->ifa_addr, address.length_bytes);
      return address;
    }
  }
  return fail(ErrorCode::kNotFound, "the network interface \"" + name +
                                        "\" has no address of the family of the target's address");
}

}  // namespace

Result<std::unique_ptr<Transport>> make_rdma_transport(const TransportOptions& options) {
  if (options.id.trtype != Trtype::kRdma) {
    return fail(ErrorCode::kInvalidArgument,
                "the transport of " + options.id.traddr + " is not RDMA");
  }
  if (options.header_digest || options.data_digest) {
    return fail(ErrorCode::kInvalidArgument,
                "digests are TCP's; RDMA has checksums of its own: attach without --hdr-digest and "
                "--data-digest");
  }
  Result<FabricsEndpoints> endpoints = fabrics_endpoints(options);
  if (!endpoints) {
    return std::unexpected(std::move(endpoints.error()));
  }
  if (!options.host_iface.empty() && options.host_traddr.empty()) {
    Result<SocketAddress> local =
        address_of_interface(options.host_iface, endpoints->peer.family());
    if (!local) {
      return std::unexpected(std::move(local.error()));
    }
    local->set_port(endpoints->local.port());
    endpoints->local = *local;
  }
  if (Status status = check_rdma_environment(); !status) {
    return std::unexpected(std::move(status.error()));
  }
  CmConnection::Options connection;
  connection.peer = endpoints->peer;
  connection.local = endpoints->local;
  connection.tos = options.tos;
  connection.ack_timeout = options.ack_timeout;
  return std::make_unique<RdmaTransport>(connection, endpoints->peer_text, options.connect_timeout,
                                         options.shared_receive_queue);
}

}  // namespace nvublk::nvme::rdma
