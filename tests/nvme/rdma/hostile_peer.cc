#include "nvme/rdma/hostile_peer.h"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "nvme/spec/cqe.h"
#include "nvme/spec/sqe.h"

namespace nvublk::nvme::rdma {

HostilePeer::Peer::~Peer() {
  if (has_queue_pair) {
    ::rdma_destroy_qp(id.get());
  }
}

HostilePeer::HostilePeer(const std::string& address, HostileScript script)
    : script_(std::move(script)), channel_(::rdma_create_event_channel()) {
  rdma_cm_id* id = nullptr;
  sockaddr_in where{};
  where.sin_family = AF_INET;
  EXPECT_EQ(::inet_pton(AF_INET, address.c_str(), &where.sin_addr), 1);
  EXPECT_EQ(::rdma_create_id(channel_.get(), &id, nullptr, RDMA_PS_TCP), 0);
  listener_.reset(id);
  EXPECT_EQ(::rdma_bind_addr(id, reinterpret_cast<sockaddr*>(&where)), 0);
  EXPECT_EQ(::rdma_listen(id, 4), 0);
  thread_ = std::thread([this] { run(); });
}

HostilePeer::~HostilePeer() {
  stop_ = true;
  thread_.join();
  peer_.reset();
  listener_.reset();
}

std::string HostilePeer::port() const {
  return std::to_string(ntohs(::rdma_get_src_port(listener_.get())));
}

void HostilePeer::run() {
  while (!stop_) {
    pollfd ready{channel_->fd, POLLIN, 0};
    if (::poll(&ready, 1, 1) > 0) {
      rdma_cm_event* event = nullptr;
      if (::rdma_get_cm_event(channel_.get(), &event) == 0) {
        // An id must not go before its events are acknowledged.
        const rdma_cm_event seen = *event;
        ::rdma_ack_cm_event(event);
        on_event(seen);
      }
    }
    poll_commands();
  }
}

void HostilePeer::on_event(const rdma_cm_event& event) {
  switch (event.event) {
    case RDMA_CM_EVENT_CONNECT_REQUEST:
      on_request(event.id);
      break;
    case RDMA_CM_EVENT_ESTABLISHED:
      if (script_.disconnect_when_connected) {
        ::rdma_disconnect(event.id);
      }
      break;
    case RDMA_CM_EVENT_DISCONNECTED:
      ::rdma_disconnect(event.id);
      break;
    default:
      break;
  }
}

void HostilePeer::on_request(rdma_cm_id* id) {
  peer_ = std::make_unique<Peer>();
  peer_->id.reset(id);
  const auto length = static_cast<std::uint8_t>(script_.private_data.size());
  if (script_.reject) {
    EXPECT_EQ(::rdma_reject(id, script_.private_data.data(), length), 0);
    return;
  }
  if (!prepare(*peer_)) {
    ADD_FAILURE() << "the peer cannot make its queue pair: " << std::strerror(errno);
    return;
  }
  rdma_conn_param parameters{};
  parameters.private_data = script_.private_data.data();
  parameters.private_data_len = length;
  parameters.rnr_retry_count = 7;
  EXPECT_EQ(::rdma_accept(id, &parameters), 0);
}

bool HostilePeer::prepare(Peer& peer) {
  peer.domain.reset(::ibv_alloc_pd(peer.id->verbs));
  peer.queue.reset(::ibv_create_cq(peer.id->verbs, 2 * kReceives, nullptr, nullptr, 0));
  peer.buffers.resize(2 * kReceives * kCapsuleBytes);
  if (!peer.domain || !peer.queue) {
    return false;
  }
  const int access = IBV_ACCESS_LOCAL_WRITE;
  peer.memory.reset(
      ::ibv_reg_mr(peer.domain.get(), peer.buffers.data(), peer.buffers.size(), access));
  ibv_qp_init_attr attributes{};
  attributes.send_cq = peer.queue.get();
  attributes.recv_cq = peer.queue.get();
  attributes.qp_type = IBV_QPT_RC;
  attributes.cap = {kReceives, kReceives, 1, 1, 0};
  peer.has_queue_pair =
      peer.memory && ::rdma_create_qp(peer.id.get(), peer.domain.get(), &attributes) == 0;
  for (std::size_t index = 0; peer.has_queue_pair && index < kReceives; index++) {
    post_receive(peer, index);
  }
  return peer.has_queue_pair;
}

void HostilePeer::post_receive(Peer& peer, std::size_t index) {
  ibv_sge piece{reinterpret_cast<std::uintptr_t>(&peer.buffers[index * kCapsuleBytes]),
                kCapsuleBytes, peer.memory->lkey};
  ibv_recv_wr work{};
  work.wr_id = index;
  work.sg_list = &piece;
  work.num_sge = 1;
  ibv_recv_wr* bad = nullptr;
  ::ibv_post_recv(peer.id->qp, &work, &bad);
}

// Success, for the command in receive buffer `index`, as often and as long as the script says.
void HostilePeer::answer(Peer& peer, std::size_t index) {
  spec::SubmissionEntry command;
  std::memcpy(static_cast<void*>(&command), &peer.buffers[index * kCapsuleBytes], sizeof(command));
  spec::CompletionEntry response{};
  response.cid = static_cast<std::uint16_t>(command.cid.get() + script_.cid_change);
  std::byte* buffer = &peer.buffers[(kReceives + index) * kCapsuleBytes];
  std::memcpy(buffer, &response, sizeof(response));
  for (const std::size_t bytes : script_.response_bytes) {
    ibv_sge piece{reinterpret_cast<std::uintptr_t>(buffer), static_cast<std::uint32_t>(bytes),
                  peer.memory->lkey};
    ibv_send_wr work{};
    work.sg_list = &piece;
    work.num_sge = 1;
    work.opcode = IBV_WR_SEND;
    ibv_send_wr* bad = nullptr;
    ::ibv_post_send(peer.id->qp, &work, &bad);
  }
}

void HostilePeer::poll_commands() {
  ibv_wc done{};
  while (peer_ && peer_->queue && ::ibv_poll_cq(peer_->queue.get(), 1, &done) > 0) {
    if (done.status == IBV_WC_SUCCESS && done.opcode == IBV_WC_RECV) {
      answer(*peer_, done.wr_id);
    }
  }
}

}  // namespace nvublk::nvme::rdma
