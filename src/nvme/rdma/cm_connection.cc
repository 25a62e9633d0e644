#include "nvme/rdma/cm_connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>

#include "engine/check.h"

namespace nvublk::nvme::rdma {

namespace {

int error_of(int result) {
  return result == 0 ? 0 : errno;
}

CmEvent copy_of(const rdma_cm_event& event) {
  CmEvent copy;
  copy.type = event.event;
  copy.status = event.status;
  const rdma_conn_param& connection = event.param.conn;
  if ((event.event == RDMA_CM_EVENT_ESTABLISHED || event.event == RDMA_CM_EVENT_REJECTED) &&
      connection.private_data != nullptr) {
    copy.private_length =
        std::min<std::size_t>(connection.private_data_len, copy.private_data.size());
    std::memcpy(copy.private_data.data(), connection.private_data, copy.private_length);
  }
  return copy;
}

}  // namespace

CmConnection::CmConnection(Reactor& reactor, CmOwner& owner)
    : owner_(owner),
      watch_(reactor, [](void* self) { static_cast<CmConnection*>(self)->read_events(); }, this) {}

int CmConnection::resolve_address(const Options& options, int timeout_ms) {
  CHECK(!channel_);
  channel_.reset(::rdma_create_event_channel());
  if (!channel_) {
    return errno;
  }
  const int flags = ::fcntl(channel_->fd, F_GETFL);
  if (flags < 0 || ::fcntl(channel_->fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return errno;
  }
  rdma_cm_id* id = nullptr;
  if (::rdma_create_id(channel_.get(), &id, this, RDMA_PS_TCP) != 0) {
    return errno;
  }
  id_.reset(id);
  if (const int error = set_options(options); error != 0) {
    return error;
  }
  watch_.start(channel_->fd);
  // It takes pointers to what it only reads.
  sockaddr_storage peer = options.peer.storage;
  sockaddr_storage local = options.local.storage;
  return error_of(::rdma_resolve_addr(
      id_.get(), options.local.length_bytes > 0 ? reinterpret_cast<sockaddr*>(&local) : nullptr,
      reinterpret_cast<sockaddr*>(&peer), timeout_ms));
}

int CmConnection::set_options(const Options& options) {
  if (options.tos >= 0) {
    auto tos = static_cast<std::uint8_t>(options.tos);
    if (::rdma_set_option(id_.get(), RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &tos, sizeof(tos)) != 0) {
      return errno;
    }
  }
  if (options.ack_timeout >= 0) {
    auto timeout = static_cast<std::uint8_t>(options.ack_timeout);
    if (::rdma_set_option(id_.get(), RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout,
                          sizeof(timeout)) != 0) {
      return errno;
    }
  }
  return 0;
}

int CmConnection::resolve_route(int timeout_ms) {
  return error_of(::rdma_resolve_route(id_.get(), timeout_ms));
}

int CmConnection::create_queue_pair(ibv_pd& domain, ibv_qp_init_attr& attributes) {
  return error_of(::rdma_create_qp(id_.get(), &domain, &attributes));
}

int CmConnection::connect(const Request& request) {
  rdma_conn_param parameters{};
  parameters.private_data = request.private_data.data();
  parameters.private_data_len = static_cast<std::uint8_t>(request.private_data.size());
  parameters.responder_resources = request.responder_resources;
  parameters.flow_control = 1;
  parameters.retry_count = request.retry_count;
  parameters.rnr_retry_count = request.rnr_retry_count;
  return error_of(::rdma_connect(id_.get(), &parameters));
}

void CmConnection::disconnect() {
  if (queue_pair() == nullptr) {
    return;
  }
  // Fails where there is no connection; the queue pair has to be in error all the same.
  ::rdma_disconnect(id_.get());
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  ::ibv_modify_qp(id_->qp, &attributes, IBV_QP_STATE);
}

void CmConnection::destroy_queue_pair() {
  if (queue_pair() != nullptr) {
    ::rdma_destroy_qp(id_.get());
  }
}

void CmConnection::close() {
  CHECK(queue_pair() == nullptr);
  watch_.stop();
  id_.reset();
  channel_.reset();
}

void CmConnection::read_events() {
  rdma_cm_event* event = nullptr;
  // The owner may close the connection, and open it again, in response to any event.
  const rdma_event_channel* channel = channel_.get();
  while (channel_.get() == channel && channel_ &&
         ::rdma_get_cm_event(channel_.get(), &event) == 0) {
    const CmEvent copy = copy_of(*event);
    ::rdma_ack_cm_event(event);
    owner_.on_cm_event(copy);
  }
}

}  // namespace nvublk::nvme::rdma
