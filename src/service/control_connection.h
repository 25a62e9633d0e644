#pragma once

// One client of the control socket: bytes in, lines out, through the shard's ring. It bounds what a
// client can make us keep: the length of a line, and how much may wait to be read by the client
// before we stop listening to it. Shard-affine.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/fd.h"
#include "engine/reactor.h"
#include "service/json_rpc.h"

namespace nvublk::service {

class ControlConnection;

class ConnectionOwner {
 public:
  /// A line arrived. Not called while the owner holds the connection paused.
  virtual void line_received(ControlConnection& connection, const std::string& line) = 0;
  /// The client sent a line that is too long; after what the owner sends now, the connection
  /// closes.
  virtual void line_too_long(ControlConnection& connection) = 0;
  /// The client has gone, or close() was called: nobody reads answers any more.
  virtual void client_gone(ControlConnection& connection) = 0;
  /// The last call: the ring holds nothing of it any more and it can be destroyed, but not from
  /// within this call.
  virtual void connection_closed(ControlConnection& connection) = 0;

 protected:
  ~ConnectionOwner() = default;
};

class ControlConnection {
 public:
  static constexpr std::size_t kMaxLineBytes = 1536 * 1024;  ///< a MiB of data as base64
  static constexpr std::size_t kMaxUnsentBytes = 1024 * 1024;
  static constexpr unsigned kMaxCalls = 32;

  ControlConnection(Reactor& reactor, UniqueFd fd, ConnectionOwner& owner);
  ControlConnection(const ControlConnection&) = delete;
  ControlConnection& operator=(const ControlConnection&) = delete;
  /// After connection_closed() only.
  ~ControlConnection();

  void start();
  /// Sends `line` and a newline; dropped when the client has gone.
  void send(std::string_view line);
  /// Closes at once; ends in connection_closed().
  void close();
  /// Closes when all that was given to send() has left.
  void close_when_sent();

  /// Requests that the owner has not answered yet; while there are kMaxCalls, nothing is read.
  void call_started();
  void call_finished();
  unsigned calls() const { return calls_; }
  bool gone() const { return gone_; }
  /// When the client last sent something.
  Instant last_heard() const { return last_heard_; }

 private:
  struct Op : RingOp {
    ControlConnection* connection = nullptr;
    bool busy = false;
  };
  void prepare_op(Op& op, RingOp::Complete complete);
  void arm_receive();
  void arm_send();
  void arm_hangup();
  void received(std::int32_t result);
  void sent(std::int32_t result);
  void hung_up(std::int32_t result, std::uint32_t flags);
  void deliver_lines();
  void advance();
  bool may_read() const;

  Reactor& reactor_;
  UniqueFd fd_;
  ConnectionOwner& owner_;
  Op receive_;
  Op send_;
  Op hangup_;
  Op cancel_;
  std::array<char, 16384> received_{};
  LineBuffer lines_{kMaxLineBytes};
  std::string unsent_;
  std::string sending_;
  std::size_t sent_bytes_ = 0;
  unsigned calls_ = 0;
  bool delivering_ = false;
  bool ended_ = false;    ///< the client sends no more
  bool closing_ = false;  ///< close once everything is sent
  bool gone_ = false;
  bool reported_ = false;
  Instant last_heard_;
};

}  // namespace nvublk::service
