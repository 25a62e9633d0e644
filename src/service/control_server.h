#pragma once

// The daemon's control socket: accepts clients and turns their lines into calls. Answers may come
// at any time later; a client can have several calls running. Shard-affine (control shard).

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <string>

#include "engine/fd.h"
#include "engine/reactor.h"
#include "service/control_connection.h"

namespace nvublk::service {

/// Names a call until it is answered.
using RpcCallId = std::uint64_t;

class RpcHandler {
 public:
  /// A call; answer it with ControlServer::answer, from within this call or later.
  virtual void call(RpcCallId id, const std::string& method, const Json& params) = 0;
  /// The client went away before the answer; answering is harmless but useless now.
  virtual void abandoned(RpcCallId id) = 0;

 protected:
  ~RpcHandler() = default;
};

class ControlServer final : ConnectionOwner {
 public:
  static constexpr std::size_t kMaxClients = 64;
  using Answer = std::expected<Json, RpcError>;

  /// `listener` is a listening Unix socket.
  ControlServer(Reactor& reactor, UniqueFd listener, RpcHandler& handler);
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  /// After closed() only.
  ~ControlServer();

  void start();
  void answer(RpcCallId id, Answer answer);
  /// Accepts no more, sends what was answered, and closes. A client that does not read its answers
  /// is not waited for longer than a second.
  void close();
  bool closed() const;

 private:
  struct Batch {
    std::size_t remaining = 0;
    Json answers = Json::array();
  };
  struct Call {
    ControlConnection* connection = nullptr;  ///< null: the client has gone
    Json id;
    bool notification = false;
    std::shared_ptr<Batch> batch;  ///< shared by the calls of a batch
  };
  struct AcceptOp : RingOp {
    ControlServer* server = nullptr;
    bool busy = false;
  };

  void arm_accept();
  void accepted(std::int32_t result);
  void make_room();
  void reply(const Call& call, Json answer);
  void line_received(ControlConnection& connection, const std::string& line) override;
  void line_too_long(ControlConnection& connection) override;
  void client_gone(ControlConnection& connection) override;
  void connection_closed(ControlConnection& connection) override;

  Reactor& reactor_;
  UniqueFd listener_;
  RpcHandler& handler_;
  AcceptOp accept_;
  std::map<ControlConnection*, std::unique_ptr<ControlConnection>> connections_;
  std::map<RpcCallId, Call> calls_;
  RpcCallId next_call_ = 1;
  bool closing_ = false;
  std::vector<std::unique_ptr<ControlConnection>> graveyard_;
  Deferred bury_;
  Timer accept_again_;
  Timer close_deadline_;
};

}  // namespace nvublk::service
