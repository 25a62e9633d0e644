#include "service/control_server.h"

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <sys/socket.h>

#include "engine/check.h"
#include "engine/log.h"

namespace nvublk::service {

ControlServer::ControlServer(Reactor& reactor, UniqueFd listener, RpcHandler& handler)
    : reactor_(reactor),
      listener_(std::move(listener)),
      handler_(handler),
      bury_([](Deferred&,
               void* context) { static_cast<ControlServer*>(context)->graveyard_.clear(); },
            this),
      accept_again_(
          [](Timer&, void* context) { static_cast<ControlServer*>(context)->arm_accept(); }, this),
      close_deadline_(
          [](Timer&, void* context) {
            auto& server = *static_cast<ControlServer*>(context);
            std::vector<ControlConnection*> left;
            for (const auto& [connection, owned] : server.connections_) {
              left.push_back(connection);
            }
            for (ControlConnection* connection : left) {
              connection->close();
            }
          },
          this) {
  accept_.server = this;
  accept_.complete = [](RingOp& op, std::int32_t result, std::uint32_t) {
    AcceptOp& own = static_cast<AcceptOp&>(op);
    own.busy = false;
    own.server->accepted(result);
  };
}

ControlServer::~ControlServer() {
  CHECK(!accept_.busy && connections_.empty());
  reactor_.cancel(bury_);
  reactor_.cancel(accept_again_);
  reactor_.cancel(close_deadline_);
}

void ControlServer::start() {
  arm_accept();
}

void ControlServer::arm_accept() {
  if (accept_.busy || closing_) {
    return;
  }
  io_uring_sqe* sqe = reactor_.ring().prepare(accept_);
  io_uring_prep_accept(sqe, listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
  io_uring_sqe_set_data(sqe, &accept_);
  accept_.busy = true;
}

void ControlServer::accepted(std::int32_t result) {
  if (result < 0) {
    if (!closing_) {
      // Out of descriptors, most likely: trying again at once would spin.
      log_warning("control", std::string("cannot accept a client: ") + std::strerror(-result));
      reactor_.arm_after(accept_again_, milliseconds(200));
    }
    return;
  }
  UniqueFd fd(result);
  if (closing_) {
    return;
  }
  make_room();
  auto connection = std::make_unique<ControlConnection>(reactor_, std::move(fd),
                                                        static_cast<ConnectionOwner&>(*this));
  ControlConnection& started = *connection;
  connections_.emplace(&started, std::move(connection));
  started.start();
  arm_accept();
}

// A full house never locks out an administrator: the client that has been silent longest goes,
// unless it waits for an answer.
void ControlServer::make_room() {
  if (connections_.size() < kMaxClients) {
    return;
  }
  ControlConnection* oldest = nullptr;
  for (const auto& [connection, owned] : connections_) {
    const bool idle = connection->calls() == 0 && !connection->gone();
    if (idle && (oldest == nullptr || connection->last_heard() < oldest->last_heard())) {
      oldest = connection;
    }
  }
  if (oldest == nullptr) {
    oldest = connections_.begin()->first;
  }
  log_warning("control", "too many clients; closed one that was silent");
  oldest->close();
}

void ControlServer::line_received(ControlConnection& connection, const std::string& line) {
  auto message = parse_message(line);
  if (!message) {
    connection.send(to_line(make_error(nullptr, message.error())));
    return;
  }
  std::shared_ptr<Batch> batch;
  if (message->batch) {
    batch = std::make_shared<Batch>();
    batch->remaining = message->elements.size();
  }
  // All calls of the line exist before the first one can be answered.
  std::vector<std::pair<RpcCallId, RpcMessage::Element>> started;
  for (RpcMessage::Element& element : message->elements) {
    const RpcCallId id = next_call_++;
    const bool notification = element.request && element.request->notification;
    calls_.emplace(id, Call{&connection, element.id, notification, batch});
    connection.call_started();
    started.emplace_back(id, std::move(element));
  }
  for (auto& [id, element] : started) {
    if (!element.request) {
      answer(id, std::unexpected(element.request.error()));
    } else if (!element.request->params.is_object()) {
      answer(id, std::unexpected(RpcError::of(
                     Error::make(ErrorCode::kInvalidArgument,
                                 "\"params\" must be an object: parameters are given by name"))));
    } else {
      handler_.call(id, element.request->method, element.request->params);
    }
  }
}

void ControlServer::answer(RpcCallId id, Answer answer) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) {
    return;
  }
  const Call call = std::move(found->second);
  calls_.erase(found);
  reply(call,
        answer ? make_result(call.id, std::move(*answer)) : make_error(call.id, answer.error()));
  if (call.connection != nullptr) {
    call.connection->call_finished();
  }
}

void ControlServer::reply(const Call& call, Json answer) {
  if (call.connection == nullptr) {
    return;
  }
  if (!call.batch) {
    if (!call.notification) {
      call.connection->send(to_line(answer));
    }
    return;
  }
  if (!call.notification) {
    call.batch->answers.push_back(std::move(answer));
  }
  call.batch->remaining--;
  if (call.batch->remaining == 0 && !call.batch->answers.empty()) {
    call.connection->send(to_line(call.batch->answers));
  }
}

void ControlServer::line_too_long(ControlConnection& connection) {
  connection.send(to_line(make_error(
      nullptr,
      RpcError::make(RpcError::kInvalidRequest,
                     "a request may have " + std::to_string(ControlConnection::kMaxLineBytes) +
                         " bytes at most"))));
}

void ControlServer::client_gone(ControlConnection& connection) {
  std::vector<RpcCallId> orphans;
  for (auto& [id, call] : calls_) {
    if (call.connection == &connection) {
      call.connection = nullptr;
      orphans.push_back(id);
    }
  }
  for (const RpcCallId id : orphans) {
    handler_.abandoned(id);
  }
}

void ControlServer::connection_closed(ControlConnection& connection) {
  const auto found = connections_.find(&connection);
  CHECK(found != connections_.end());
  graveyard_.push_back(std::move(found->second));
  connections_.erase(found);
  reactor_.defer(bury_);
}

void ControlServer::close() {
  if (closing_) {
    return;
  }
  closing_ = true;
  reactor_.cancel(accept_again_);
  // A pending accept ends with an error once the socket is shut down.
  ::shutdown(listener_.get(), SHUT_RDWR);
  std::vector<ControlConnection*> open;
  for (const auto& [connection, owned] : connections_) {
    open.push_back(connection);
  }
  for (ControlConnection* connection : open) {
    connection->close_when_sent();
  }
  reactor_.arm_after(close_deadline_, seconds(1));
}

bool ControlServer::closed() const {
  return closing_ && !accept_.busy && connections_.empty() && graveyard_.empty();
}

}  // namespace nvublk::service
