#include "nvme/tcp/tcp_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/check.h"
#include "nvme/fabrics_endpoints.h"
#include "nvme/tcp/pdu_fault.h"

namespace nvublk::nvme::tcp {

TcpQueue::TcpQueue(Shard& shard, const Options& options, RequestTable& requests,
                   QueueTransportSink& sink)
    : shard_(shard),
      reactor_(shard.reactor()),
      options_(options),
      sink_(sink),
      handshake_(options.handshake),
      runner_(reactor_, handshake_, *this),
      session_(options.queue, requests, sink),
      socket_(reactor_, *this),
      last_words_timer_(
          [](Timer&, void* self) {
            auto& queue = *static_cast<TcpQueue*>(self);
            queue.close(std::move(queue.reason_));
          },
          this) {}

TcpQueue::~TcpQueue() {
  CHECK(state_ == State::kIdle || state_ == State::kClosed);
}

StepView TcpQueue::step() const {
  if (state_ != State::kConnecting || !handshake_.running()) {
    return {};
  }
  return {handshake_.step_name(), handshake_.step_spec(), handshake_.step_since(),
          handshake_.step_deadline()};
}

void TcpQueue::connect() {
  CHECK_ON(shard_);
  CHECK(state_ == State::kIdle);
  state_ = State::kConnecting;
  TcpSocket::Options socket = options_.socket;
  Result<SocketAddress> local = local_of_queue(socket.local, options_.queue.qid);
  Status opened = local ? Status() : std::unexpected(std::move(local.error()));
  if (opened) {
    socket.local = *local;
    opened = socket_.open(socket);
  }
  if (!opened) {
    Error error = std::move(opened.error());
    error.text = "cannot connect to " + options_.handshake.peer + ": " + error.text;
    error.step = handshake_.rows().front().name;
    close(std::move(error));
    return;
  }
  runner_.start();
}

void TcpQueue::submit(Request& request) {
  if (state_ != State::kConnected) {
    // The connection broke and on_disconnected() is on its way: the request waits for that.
    CHECK(state_ != State::kIdle && state_ != State::kConnecting && state_ != State::kClosed);
    return;
  }
  session_.submit(request);
  if (!socket_.sending()) {
    reactor_.request_flush(*this);
  }
}

void TcpQueue::flush() {
  if (state_ != State::kConnected || socket_.sending()) {
    return;
  }
  const std::span<iovec> pieces = session_.build_send();
  if (pieces.empty()) {
    return;
  }
  // What comes next is an answer, or a new request: the result of the send can wait for it.
  if (session_.has_more()) {
    socket_.send(pieces);
  } else {
    socket_.send_quietly(pieces);
  }
}

void TcpQueue::disconnect(Error reason) {
  CHECK_ON(shard_);
  CHECK(state_ != State::kClosed);
  if (state_ != State::kTerminating && state_ != State::kClosing) {
    close(state_ == State::kDraining ? std::move(reason_) : std::move(reason));
  }
}

// --- Connecting

void TcpQueue::perform(TcpHandshake& handshake, const HandshakeAction& action) {
  switch (action) {
    case HandshakeAction::kConnect:
      socket_.connect();
      return;
    case HandshakeAction::kSend: {
      const std::span<std::byte> request = handshake.ic_req();
      handshake_piece_ = {request.data(), request.size()};
      socket_.send(std::span(&handshake_piece_, 1));
      return;
    }
    case HandshakeAction::kReceive: {
      const std::span<std::byte> space = handshake.receive_space();
      handshake_piece_ = {space.data(), space.size()};
      socket_.receive(std::span(&handshake_piece_, 1), true);
      return;
    }
  }
}

void TcpQueue::finish_handshake_action(std::int32_t result) {
  HandshakeOutcome outcome;
  outcome.error_number = result < 0 ? -result : 0;
  outcome.bytes = result > 0 ? static_cast<std::size_t>(result) : 0;
  runner_.finish(outcome);
}

void TcpQueue::on_socket_connected(std::int32_t result) {
  finish_handshake_action(result);
}

void TcpQueue::ended(TcpHandshake& handshake) {
  if (handshake.failed()) {
    close(handshake.explained_error());
    return;
  }
  state_ = State::kConnected;
  session_.start(handshake.parameters());
  receive(true);
  sink_.on_connected();
}

// --- Connected

void TcpQueue::receive(bool likely_empty) {
  socket_.receive(session_.receive_slices(), likely_empty);
}

void TcpQueue::on_socket_received(std::int32_t result, bool more) {
  switch (state_) {
    case State::kConnecting:
      finish_handshake_action(result);
      return;
    case State::kConnected:
    case State::kDraining:
      if (result <= 0) {
        close(state_ == State::kDraining ? std::move(reason_) : lost(result));
        return;
      }
      received(static_cast<std::size_t>(result), more);
      return;
    case State::kTerminating:
    case State::kIdle:
    case State::kClosing:
    case State::kClosed:
      return;
  }
}

void TcpQueue::received(std::size_t bytes, bool more) {
  if (const std::optional<PduFault> fault = session_.received(bytes)) {
    terminate(*fault);
    return;
  }
  if (state_ == State::kConnected || state_ == State::kDraining) {  // disconnect() may have come
    receive(!more);
  }
  if (state_ == State::kConnected && session_.has_work() && !socket_.sending()) {
    reactor_.request_flush(*this);
  }
}

void TcpQueue::on_socket_sent(std::int32_t result) {
  if (state_ == State::kConnecting) {
    const auto length = static_cast<std::int32_t>(handshake_piece_.iov_len);
    finish_handshake_action(result >= 0 && result < length ? -EPIPE : result);
    return;
  }
  if (result < 0) {
    send_failed(result);
    return;
  }
  if (state_ == State::kTerminating) {
    if (!termination_sent_) {
      session_.sent(static_cast<std::size_t>(result));
    }
    send_termination();
    return;
  }
  session_.sent(static_cast<std::size_t>(result));
  if (state_ == State::kConnected && session_.has_work()) {
    reactor_.request_flush(*this);
  }
}

// --- Ending

Error TcpQueue::lost(std::int32_t result) const {
  const std::string& peer = options_.handshake.peer;
  if (result == 0) {
    return Error::make(ErrorCode::kDisconnected, peer + " closed the connection");
  }
  return Error::from_errno(-result, "the connection to " + peer + " broke");
}

void TcpQueue::send_failed(std::int32_t result) {
  if (state_ == State::kTerminating) {
    close(std::move(reason_));
    return;
  }
  state_ = State::kDraining;
  reason_ = lost(result);
  reactor_.arm_after(last_words_timer_, kLastWordsLimit);
}

// The controller sent what it must not send: tell it, if the socket takes that at once, and close.
// [TCP 1.1 §3.6.2.4]
void TcpQueue::terminate(const PduFault& fault) {
  Error reason = Error::make(
      fault.reason == PduFaultReason::kTerminated ? ErrorCode::kDisconnected : ErrorCode::kProtocol,
      options_.handshake.peer + ": " + pdu_fault_text(fault));
  session_.stop();
  if (fault.reason == PduFaultReason::kTerminated || state_ == State::kDraining) {
    close(std::move(reason));
    return;
  }
  state_ = State::kTerminating;
  reason_ = std::move(reason);
  reactor_.cancel_flush(*this);
  spec::TermReq request = make_termination_request(fault);
  const std::span<const std::byte> header = session_.offending_header();
  const std::size_t copied = std::min<std::size_t>(header.size(), spec::kTermReqMaxDataBytes);
  request.ch.plen = static_cast<std::uint32_t>(sizeof(request) + copied);
  std::memcpy(termination_.data(), &request, sizeof(request));
  std::memcpy(termination_.data() + sizeof(request), header.data(), copied);
  termination_piece_ = {termination_.data(), sizeof(request) + copied};
  reactor_.arm_after(last_words_timer_, kLastWordsLimit);
  if (!socket_.sending()) {
    send_termination();
  }
}

// Only where a PDU ends: in the middle of one it would be taken for data.
void TcpQueue::send_termination() {
  if (termination_sent_ || session_.sends_partly()) {
    close(std::move(reason_));
    return;
  }
  termination_sent_ = true;
  socket_.send(std::span(&termination_piece_, 1));
}

void TcpQueue::close(Error reason) {
  CHECK(state_ != State::kClosing && state_ != State::kClosed);
  state_ = State::kClosing;
  reason_ = std::move(reason);
  session_.stop();
  runner_.cancel();
  reactor_.cancel(last_words_timer_);
  reactor_.cancel_flush(*this);
  socket_.close();
}

void TcpQueue::on_socket_closed() {
  state_ = State::kClosed;
  sink_.on_disconnected(std::move(reason_));
}

}  // namespace nvublk::nvme::tcp
