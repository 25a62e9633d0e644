#pragma once

// One connection after ICResp, without its socket: joins the receiver, the sender and the commands
// of a queue. Everything that the controller says about a command is checked here before it is
// believed. A completion is held back while data of its command may still be read for sending.
// Shard-affine. No allocation after construction.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <sys/uio.h>

#include "engine/intrusive_list.h"
#include "nvme/request_table.h"
#include "nvme/tcp/connection_parameters.h"
#include "nvme/tcp/pdu_fault.h"
#include "nvme/tcp/pdu_receiver.h"
#include "nvme/tcp/pdu_sender.h"
#include "nvme/tcp/tcp_command.h"
#include "nvme/transport.h"

namespace nvublk::nvme::tcp {

class TcpSession {
 public:
  /// `requests` and `sink` outlive it; of `sink` only on_completion() is called.
  TcpSession(const QueueTransportOptions& options, RequestTable& requests,
             QueueTransportSink& sink);
  ~TcpSession();
  TcpSession(const TcpSession&) = delete;
  TcpSession& operator=(const TcpSession&) = delete;

  void start(const ConnectionParameters& parameters);
  /// No completion is delivered from here on; may be called by the sink.
  void stop() { stopped_ = true; }

  /// Queues the capsule of `request`; it leaves with the next build_send().
  void submit(Request& request);
  bool has_work() { return sender_.has_work(); }
  /// Whether there is something that build_send() left for later.
  bool has_more() { return sender_.has_more(); }
  /// See PduSender::build() and sent(). Delivers completions that waited for the send.
  std::span<iovec> build_send() { return sender_.build(); }
  void sent(std::size_t bytes);
  /// Whether the last send ended in the middle of a PDU, or a PDU was built in part.
  bool sends_partly() const { return sender_.sends_partly(); }

  /// Where to receive next; valid until received().
  std::span<iovec> receive_slices();
  /// Takes what has arrived in the slices and delivers completions. A fault ends the connection.
  std::optional<PduFault> received(std::size_t bytes);
  /// The header of the PDU at fault.
  std::span<const std::byte> offending_header() const { return receiver_.pdu_header(); }

 private:
  TcpCommand* find(std::uint16_t cid);
  // As find(), for a command that the controller can know; null and the fault set otherwise.
  TcpCommand* find_sent(std::uint16_t cid, spec::PduType type);
  // These return false with the fault set.
  bool handle(PduReceiver::Event event);
  bool on_response(const spec::CapsuleResp& pdu);
  bool on_data_begin(const spec::C2hData& pdu);
  bool on_data_end();
  bool on_r2t(const spec::R2t& pdu);
  void complete(TcpCommand& command, const spec::CompletionEntry& entry);
  void deliver(TcpCommand& command, const spec::CompletionEntry& entry);
  bool fault(PduFaultReason reason, spec::PduType type, std::uint16_t cid, std::uint64_t value = 0,
             std::uint64_t expected = 0);

  const QueueTransportOptions options_;
  RequestTable& requests_;
  QueueTransportSink& sink_;
  std::unique_ptr<TcpCommand[]> commands_;  // one per slot of requests_
  PduReceiver receiver_;
  PduSender sender_;
  IntrusiveList<TcpCommand, HeldTag> held_;
  TcpCommand* data_command_ = nullptr;  // whose C2HData is arriving
  std::uint32_t reads_ = 0;             // active commands with data to the host
  std::uint32_t large_reads_ = 0;       // those of them that are kLargeReadBytes or more
  bool stopped_ = false;
  std::optional<PduFault> fault_;
};

}  // namespace nvublk::nvme::tcp
