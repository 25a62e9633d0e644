#pragma once

// The TCP half of a queue pair: one connection. Joins the socket, the handshake and the session.
// Shard-affine.
//
//   kIdle -> kConnecting -> kConnected -> [kTerminating | kDraining] -> kClosing -> kClosed
//
// kTerminating: the controller broke the protocol and is told; until that has left. kDraining: a
// send failed; what the controller said before may explain why, so it is received to its end. Both
// last for kLastWordsLimit at most. kClosing: until the ring holds nothing that refers to a
// request; the peer has no say in that.
//
// With TLS the session's bytes are sealed and opened on their way: what the session has built is
// sent when all records with it are.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/error.h"
#include "engine/shard.h"
#include "engine/step_runner.h"
#include "nvme/tcp/tcp_handshake.h"
#include "nvme/tcp/tcp_session.h"
#include "nvme/tcp/tcp_socket.h"
#include "nvme/transport.h"

namespace nvublk::nvme::tcp {

class TcpQueue final : public QueueTransport,
                       private TcpSocketOwner,
                       private StepOwner<TcpHandshake, HandshakeAction>,
                       private Flusher {
 public:
  struct Options {
    QueueTransportOptions queue;
    TcpSocket::Options socket;
    TcpHandshake::Options handshake;
    const TlsContext* tls = nullptr;  ///< for the constructor only; null: without TLS
  };

  TcpQueue(Shard& shard, const Options& options, RequestTable& requests, QueueTransportSink& sink);
  /// Before connect(), or after on_disconnected().
  ~TcpQueue() override;

  void connect() override;
  void submit(Request& request) override;
  void disconnect(Error reason) override;
  StepView step() const override;

 private:
  enum class State : std::uint8_t {
    kIdle,
    kConnecting,
    kConnected,
    kTerminating,
    kDraining,
    kClosing,
    kClosed
  };
  static constexpr Duration kLastWordsLimit = milliseconds(500);

  void on_socket_connected(std::int32_t result) override;
  void on_socket_sent(std::int32_t result) override;
  void on_socket_received(std::int32_t result, bool more) override;
  void on_socket_closed() override;
  void perform(TcpHandshake& handshake, const HandshakeAction& action) override;
  void ended(TcpHandshake& handshake) override;
  void flush() override;

  void finish_handshake_action(std::int32_t result);
  void send_in_handshake(iovec piece);
  void receive_in_handshake(iovec space);
  void received_in_handshake(std::int32_t result);
  void receive(bool likely_empty);
  Error lost(std::int32_t result) const;
  void received(std::size_t bytes, bool more);
  void receive_records(bool likely_empty);
  std::optional<PduFault> open_records(std::size_t bytes);
  void flush_sealed();
  std::size_t session_bytes_sent(std::size_t bytes);
  Error tls_ended() const;
  std::span<const std::byte> tls_last_words();
  void send_failed(std::int32_t result);
  void terminate(const PduFault& fault);
  void send_termination();
  void close(Error reason);

  Shard& shard_;
  Reactor& reactor_;
  const Options options_;
  QueueTransportSink& sink_;
  State state_ = State::kIdle;
  std::unique_ptr<TlsChannel> tls_;  // null: none
  iovec received_piece_{};
  iovec sealed_piece_{};
  std::size_t sealed_bytes_ = 0;  // of the session, in the channel's output
  TcpHandshake handshake_;
  StepRunner<TcpHandshake, HandshakeAction, HandshakeOutcome> runner_;
  TcpSession session_;
  TcpSocket socket_;
  HandshakeAction handshake_action_ = HandshakeAction::kConnect;
  iovec handshake_piece_{};

  Error reason_;
  std::array<std::byte, spec::kTermReqMaxBytes> termination_{};
  iovec termination_piece_{};
  bool termination_sent_ = false;  // given to the socket
  Timer last_words_timer_;
};

}  // namespace nvublk::nvme::tcp
