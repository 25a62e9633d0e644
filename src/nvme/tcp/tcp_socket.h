#pragma once

// A TCP socket whose every operation goes through the shard's io_uring: at most one connect, one
// send and one receive are in flight. close() takes them back; on_closed() comes when the ring
// holds nothing of ours any more. Shard-affine. No allocation after construction.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <sys/socket.h>
#include <sys/uio.h>

#include "engine/error.h"
#include "engine/fd.h"
#include "engine/reactor.h"
#include "nvme/socket_address.h"

namespace nvublk::nvme::tcp {

/// Results are the ring's: negative errno values, or bytes. Never called from within a method of
/// the socket. After close() only on_closed() comes.
class TcpSocketOwner {
 public:
  virtual void on_socket_connected(std::int32_t result) = 0;
  virtual void on_socket_sent(std::int32_t result) = 0;
  /// `more`: there is more to receive already.
  virtual void on_socket_received(std::int32_t result, bool more) = 0;
  virtual void on_socket_closed() = 0;

 protected:
  ~TcpSocketOwner() = default;
};

class TcpSocket {
 public:
  struct Options {
    SocketAddress peer;
    SocketAddress local;    ///< where to connect from; length 0: anywhere
    std::string interface;  ///< to bind to; empty: none
    int tos = -1;           ///< -1: the system's
    int user_timeout_ms =
        -1;  ///< how long the peer may leave data unacknowledged; -1: the system's
  };

  TcpSocket(Reactor& reactor, TcpSocketOwner& owner);
  ~TcpSocket();
  TcpSocket(const TcpSocket&) = delete;
  TcpSocket& operator=(const TcpSocket&) = delete;

  /// Makes and prepares the socket; `options` is copied.
  Status open(const Options& options);
  void connect();
  /// The pieces, and what they point to, stay until the result comes.
  void send(std::span<iovec> pieces);
  /// The same for who does not need the result before something else happens: it may come late.
  void send_quietly(std::span<iovec> pieces);
  /// `likely_empty`: nothing is there yet, so wait first and try then.
  void receive(std::span<iovec> pieces, bool likely_empty);
  bool sending() const { return send_.busy || quiet_send_busy_; }
  bool receiving() const { return receive_.busy; }
  /// Ends in on_socket_closed(), never from within this call. Once only. `last_words` are sent if
  /// nothing else is being sent, as far as the socket takes them at once.
  void close(std::span<const std::byte> last_words = {});

 private:
  struct Op : RingOp {
    TcpSocket* socket = nullptr;
    bool busy = false;
  };

  struct QuietSend : QuietOp {
    explicit QuietSend(TcpSocket& s);
    TcpSocket& socket;
  };

  Status prepare(const Options& options);
  io_uring_sqe* begin(Op& op);
  void prepare_send(io_uring_sqe* sqe, std::span<iovec> pieces, unsigned flags);
  void on_quiet_sent(std::int32_t result);
  void ended_one();
  void issue_receive(bool poll_first);
  void cancel(Op& target, Op& op);
  void on_receive(std::int32_t result, std::uint32_t flags);
  void op_ended(Op& op);
  void ended_closed();
  bool busy() const;

  Reactor& reactor_;
  TcpSocketOwner& owner_;
  UniqueFd fd_;
  SocketAddress peer_;
  Op connect_;
  Op send_;
  QuietSend quiet_send_;
  Op receive_;
  Op cancel_connect_;
  Op cancel_send_;
  Op cancel_receive_;
  msghdr send_message_{};
  msghdr receive_message_{};
  std::span<iovec> receive_pieces_;
  bool poll_first_works_ = true;
  bool polled_first_ = false;
  bool closing_ = false;
  bool quiet_send_busy_ = false;
  bool full_ = false;  ///< the socket did not take all of a send at once
  Deferred closed_;
};

}  // namespace nvublk::nvme::tcp
