#pragma once

// One id of the RDMA connection manager with an event channel of its own, read through the ring;
// nothing blocks. No policy here. Shard-affine.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <rdma/rdma_cma.h>

#include "engine/error.h"
#include "engine/fd_watch.h"
#include "engine/reactor.h"
#include "nvme/socket_address.h"

namespace nvublk::nvme::rdma {

/// An event without what the connection manager keeps of it.
struct CmEvent {
  rdma_cm_event_type type = RDMA_CM_EVENT_ADDR_RESOLVED;
  int status = 0;  ///< 0, a negative errno, or why the connection was rejected
  std::array<std::byte, 64> private_data{};
  std::size_t private_length = 0;

  std::span<const std::byte> data() const { return std::span(private_data).first(private_length); }
};

class CmOwner {
 public:
  /// Runs in the completion phase; may close() the connection.
  virtual void on_cm_event(const CmEvent& event) = 0;

 protected:
  ~CmOwner() = default;
};

class CmConnection {
 public:
  struct Options {
    SocketAddress peer;
    SocketAddress local;   ///< length 0: any
    int tos = -1;          ///< type of service, 0 to 255; -1: the system's
    int ack_timeout = -1;  ///< 0 to 31: 4.096 us times 2 to that power; -1: the device's
  };
  /// What the peer is told of us.
  struct Request {
    std::span<const std::byte> private_data;
    std::uint8_t responder_resources = 0;  ///< RDMA reads of the peer at a time
    std::uint8_t retry_count = 7;
    std::uint8_t rnr_retry_count = 7;
  };

  CmConnection(Reactor& reactor, CmOwner& owner);
  ~CmConnection() { close(); }
  CmConnection(const CmConnection&) = delete;
  CmConnection& operator=(const CmConnection&) = delete;

  /// Makes the id and begins to resolve the address: kAddrResolved or kAddrError follows. These
  /// return 0 or an errno.
  int resolve_address(const Options& options, int timeout_ms);
  int resolve_route(int timeout_ms);
  /// Once the address is resolved. On success `attributes` has what was granted.
  int create_queue_pair(ibv_pd& domain, ibv_qp_init_attr& attributes);
  int connect(const Request& request);
  /// Tells the peer, and puts the queue pair into its error state.
  void disconnect();
  /// After this the device touches no memory of the queue pair.
  void destroy_queue_pair();
  /// Frees everything; no event is reported any more. The queue pair must be gone.
  void close();

  bool open() const { return id_ != nullptr; }
  /// Null until the address is resolved.
  ibv_context* verbs() const { return id_ ? id_->verbs : nullptr; }
  ibv_qp* queue_pair() const { return id_ ? id_->qp : nullptr; }

 private:
  struct Release {
    void operator()(rdma_event_channel* channel) const { ::rdma_destroy_event_channel(channel); }
    void operator()(rdma_cm_id* id) const { ::rdma_destroy_id(id); }
  };
  int set_options(const Options& options);
  void read_events();

  CmOwner& owner_;
  FdWatch watch_;
  std::unique_ptr<rdma_event_channel, Release> channel_;
  std::unique_ptr<rdma_cm_id, Release> id_;  // goes before its channel
};

}  // namespace nvublk::nvme::rdma
