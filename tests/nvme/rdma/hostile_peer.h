#pragma once

// An RDMA peer that breaks the specification as it is told, for what a real target never does.
// It serves one connection at a time, in a thread of its own, with plain verbs.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <rdma/rdma_cma.h>

namespace nvublk::nvme::rdma {

struct HostileScript {
  bool reject = false;
  std::vector<std::byte> private_data;  ///< of the accept or the reject
  bool disconnect_when_connected = false;
  /// Of each response to a command, in order; sizes other than 16 are wrong.
  std::vector<std::size_t> response_bytes;
  std::uint16_t cid_change = 0;  ///< added to the CID of responses
};

class HostilePeer {
 public:
  /// Listens on `address` of an RDMA device, on a free port.
  HostilePeer(const std::string& address, HostileScript script);
  ~HostilePeer();
  HostilePeer(const HostilePeer&) = delete;
  HostilePeer& operator=(const HostilePeer&) = delete;
  std::string port() const;

 private:
  static constexpr std::size_t kReceives = 8;
  static constexpr std::size_t kCapsuleBytes = 64;

  struct Release {
    void operator()(rdma_event_channel* channel) const { ::rdma_destroy_event_channel(channel); }
    void operator()(rdma_cm_id* id) const { ::rdma_destroy_id(id); }
    void operator()(ibv_mr* mr) const { ::ibv_dereg_mr(mr); }
    void operator()(ibv_cq* cq) const { ::ibv_destroy_cq(cq); }
    void operator()(ibv_pd* pd) const { ::ibv_dealloc_pd(pd); }
  };
  template <typename T>
  using Owned = std::unique_ptr<T, Release>;

  // In the order in which they are made; gone in the opposite one, the queue pair before them all.
  struct Peer {
    ~Peer();
    Owned<rdma_cm_id> id;
    Owned<ibv_pd> domain;
    Owned<ibv_cq> queue;
    Owned<ibv_mr> memory;
    std::vector<std::byte> buffers;
    bool has_queue_pair = false;
  };

  void run();
  void on_event(const rdma_cm_event& event);
  void on_request(rdma_cm_id* id);
  bool prepare(Peer& peer);
  void post_receive(Peer& peer, std::size_t index);
  void answer(Peer& peer, std::size_t index);
  void poll_commands();

  const HostileScript script_;
  Owned<rdma_event_channel> channel_;
  Owned<rdma_cm_id> listener_;
  std::unique_ptr<Peer> peer_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace nvublk::nvme::rdma
