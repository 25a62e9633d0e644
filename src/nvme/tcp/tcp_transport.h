#pragma once

// NVMe/TCP as the core sees it. Immutable after construction; make_queue() on any shard.

#include <memory>

#include "engine/error.h"
#include "nvme/tcp/tcp_handshake.h"
#include "nvme/tcp/tcp_socket.h"
#include "nvme/transport.h"

namespace nvublk::nvme::tcp {

class TcpTransport final : public Transport {
 public:
  /// `tls`: null without TLS.
  TcpTransport(TcpSocket::Options socket, TcpHandshake::Options handshake,
               std::unique_ptr<TlsContext> tls = nullptr);

  TransportLimits limits() const override;
  std::unique_ptr<QueueTransport> make_queue(Shard& shard, const QueueTransportOptions& options,
                                             RequestTable& requests,
                                             QueueTransportSink& sink) override;

 private:
  const TcpSocket::Options socket_;
  const TcpHandshake::Options handshake_;
  const std::unique_ptr<TlsContext> tls_;
};

/// Checks the options: addresses must be literal and of one family, the interface must exist.
/// Connections use TLS if there is a key.
Result<std::unique_ptr<Transport>> make_tcp_transport(const TransportOptions& options);

}  // namespace nvublk::nvme::tcp
