#include "nvme/tcp/tcp_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/check.h"
#include "nvme/fabrics_endpoints.h"
#include "nvme/tcp/pdu_fault.h"

namespace nvublk::nvme::tcp {

namespace {

// How much is sealed, and opened, at a time.
constexpr std::size_t kAdminRecordBytes = 32 * 1024;
constexpr std::size_t kIoRecordBytes = 256 * 1024;

}  // namespace

TcpQueue::TcpQueue(Shard& shard, const Options& options, RequestTable& requests,
                   QueueTransportSink& sink)
    : shard_(shard),
      reactor_(shard.reactor()),
      options_(options),
      sink_(sink),
      tls_(options.tls == nullptr
               ? nullptr
               : std::make_unique<TlsChannel>(
                     *options.tls, options.queue.qid == 0 ? kAdminRecordBytes : kIoRecordBytes)),
      handshake_(options.handshake, tls_.get()),
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
  if (tls_) {
    flush_sealed();
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
  handshake_action_ = action;
  switch (action) {
    case HandshakeAction::kConnect:
      socket_.connect();
      return;
    case HandshakeAction::kTlsSend:
      send_in_handshake(tls_->output());
      return;
    case HandshakeAction::kTlsReceive:
      receive_in_handshake(tls_->receive_space());
      return;
    case HandshakeAction::kSend: {
      iovec request{handshake.ic_req().data(), handshake.ic_req().size()};
      if (tls_) {
        tls_->encrypt(std::span(&request, 1));
        request = tls_->output();
      }
      send_in_handshake(request);
      return;
    }
    case HandshakeAction::kReceive: {
      const std::span<std::byte> space = handshake.receive_space();
      receive_in_handshake(tls_ ? tls_->receive_space() : iovec{space.data(), space.size()});
      return;
    }
  }
}

void TcpQueue::send_in_handshake(iovec piece) {
  handshake_piece_ = piece;
  socket_.send(std::span(&handshake_piece_, 1));
}

void TcpQueue::receive_in_handshake(iovec space) {
  handshake_piece_ = space;
  socket_.receive(std::span(&handshake_piece_, 1), true);
}

// What comes after the TLS handshake is opened for the machine; a record may be without data.
void TcpQueue::received_in_handshake(std::int32_t result) {
  if (tls_ && handshake_action_ == HandshakeAction::kReceive && result > 0) {
    tls_->received(static_cast<std::size_t>(result));
    const std::span<std::byte> space = handshake_.receive_space();
    const iovec piece{space.data(), space.size()};
    result = static_cast<std::int32_t>(tls_->decrypt(std::span(&piece, 1)));
    if (result == 0 && tls_->state() == TlsChannel::State::kOpen) {
      receive_in_handshake(tls_->receive_space());
      return;
    }
  }
  finish_handshake_action(result);
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
  if (tls_) {
    receive_records(likely_empty);
    return;
  }
  socket_.receive(session_.receive_slices(), likely_empty);
}

void TcpQueue::on_socket_received(std::int32_t result, bool more) {
  switch (state_) {
    case State::kConnecting:
      received_in_handshake(result);
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
  if (const std::optional<PduFault> fault = tls_ ? open_records(bytes) : session_.received(bytes)) {
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

void TcpQueue::receive_records(bool likely_empty) {
  if (tls_->state() != TlsChannel::State::kOpen) {
    close(state_ == State::kDraining ? std::move(reason_) : tls_ended());
    return;
  }
  received_piece_ = tls_->receive_space();
  socket_.receive(std::span(&received_piece_, 1), likely_empty);
}

std::optional<PduFault> TcpQueue::open_records(std::size_t bytes) {
  tls_->received(bytes);
  while (state_ == State::kConnected || state_ == State::kDraining) {
    const std::size_t opened = tls_->decrypt(session_.receive_slices());
    if (opened == 0) {
      break;
    }
    if (const std::optional<PduFault> fault = session_.received(opened)) {
      return fault;
    }
  }
  return std::nullopt;
}

// A batch may be more than is sealed at a time; then the rest follows when that has left.
void TcpQueue::flush_sealed() {
  const std::span<iovec> pieces = session_.build_send();
  if (pieces.empty()) {
    return;
  }
  if (!tls_->has_output()) {
    sealed_bytes_ = tls_->encrypt(pieces);
    if (tls_->state() == TlsChannel::State::kFailed) {
      close(tls_ended());
      return;
    }
  }
  std::size_t built = 0;
  for (const iovec& piece : pieces) {
    built += piece.iov_len;
  }
  sealed_piece_ = tls_->output();
  if (sealed_bytes_ < built || session_.has_more()) {
    socket_.send(std::span(&sealed_piece_, 1));
  } else {
    socket_.send_quietly(std::span(&sealed_piece_, 1));
  }
}

// `bytes` have left: how many of the session's that tells it of.
std::size_t TcpQueue::session_bytes_sent(std::size_t bytes) {
  if (!tls_) {
    return bytes;
  }
  tls_->sent(bytes);
  return tls_->has_output() ? 0 : std::exchange(sealed_bytes_, 0);
}

void TcpQueue::on_socket_sent(std::int32_t result) {
  if (state_ == State::kConnecting) {
    const auto length = static_cast<std::int32_t>(handshake_piece_.iov_len);
    if (tls_ && handshake_action_ == HandshakeAction::kSend && result == length) {
      tls_->sent(handshake_piece_.iov_len);
    }
    finish_handshake_action(result >= 0 && result < length ? -EPIPE : result);
    return;
  }
  if (result < 0) {
    send_failed(result);
    return;
  }
  if (state_ == State::kTerminating) {
    const std::size_t bytes = session_bytes_sent(static_cast<std::size_t>(result));
    if (!termination_sent_) {
      session_.sent(bytes);
    }
    send_termination();
    return;
  }
  session_.sent(session_bytes_sent(static_cast<std::size_t>(result)));
  if (state_ == State::kConnected && session_.has_work()) {
    reactor_.request_flush(*this);
  }
}

// --- Ending

Error TcpQueue::tls_ended() const {
  const std::string& peer = options_.handshake.peer;
  if (tls_->state() == TlsChannel::State::kClosed) {
    return Error::make(ErrorCode::kDisconnected, peer + " ended TLS, and with it the connection");
  }
  return tls_->fault() == TlsChannel::Fault::kAlert
             ? Error::make(ErrorCode::kDisconnected,
                           peer + " ended TLS with the alert '" + tls_->reason() + "'")
             : Error::make(ErrorCode::kProtocol, "TLS with " + peer + " failed: " + tls_->reason() +
                                                     "; what it sent is not as it was sealed");
}

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
  if (tls_) {
    tls_->encrypt(std::span(&termination_piece_, 1));
    termination_piece_ = tls_->output();
  }
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
  socket_.close(tls_ ? tls_last_words() : std::span<const std::byte>());
}

// That nothing more comes, or why; unless there are records that have not left.
std::span<const std::byte> TcpQueue::tls_last_words() {
  if (sealed_bytes_ > 0) {
    return {};
  }
  tls_->end();
  const iovec words = tls_->output();
  return {static_cast<const std::byte*>(words.iov_base), words.iov_len};
}

void TcpQueue::on_socket_closed() {
  state_ = State::kClosed;
  sink_.on_disconnected(std::move(reason_));
}

}  // namespace nvublk::nvme::tcp
