#include "nvme/tcp/tcp_session.h"

#include <algorithm>

#include "engine/check.h"

namespace nvublk::nvme::tcp {

namespace {

using spec::DataDirection;
using spec::PduType;

constexpr std::size_t kAdminBufferBytes = 32 * 1024;
constexpr std::size_t kIoBufferBytes = 256 * 1024;
constexpr std::uint32_t kLargeReadBytes = 32 * 1024;

// Commands of which the controller sends a structure of its own length, and no more, however much
// was asked for. Whatever else reads has to fill its buffer. [Base 2.1 §5.1.6, §5.1.23, §7.8]
bool may_be_short(const spec::SubmissionEntry& sqe, bool admin) {
  if (admin) {
    return sqe.admin_opcode() == spec::AdminOpcode::kDirectiveReceive ||
           sqe.admin_opcode() == spec::AdminOpcode::kSecurityReceive;
  }
  return sqe.nvm_opcode() == spec::NvmOpcode::kReservationReport;
}

}  // namespace

TcpSession::TcpSession(const QueueTransportOptions& options, RequestTable& requests,
                       QueueTransportSink& sink)
    : options_(options),
      requests_(requests),
      sink_(sink),
      commands_(std::make_unique<TcpCommand[]>(requests.size())),
      receiver_(options.qid == 0 ? kAdminBufferBytes : kIoBufferBytes) {}

TcpSession::~TcpSession() {
  sender_.clear();
  while (!held_.empty()) {
    held_.pop_front();
  }
}

void TcpSession::start(const ConnectionParameters& parameters) {
  receiver_.start(parameters);
  sender_.start(parameters);
}

void TcpSession::submit(Request& request) {
  CHECK(request.active && request.slot < requests_.size());
  TcpCommand& command = commands_[request.slot];
  CHECK(!command.active);
  command.request = &request;
  command.active = true;
  command.direction = request.length_bytes > 0 ? request.sqe.direction() : DataDirection::kNone;
  command.length = request.length_bytes;
  command.received = 0;
  command.last_seen = false;
  command.digest_error = false;
  command.requested = 0;
  command.current = {};
  command.next = {};
  const DataCursor data(request.iov, request.iov_count);
  command.receive_at = data;
  command.send_at = data;
  const bool control = options_.qid == 0 || request.sqe.is_fabrics();
  const std::uint32_t limit = control
                                  ? std::max(options_.in_capsule_bytes, spec::kAdminInCapsuleBytes)
                                  : options_.in_capsule_bytes;
  command.in_capsule =
      command.direction == DataDirection::kHostToController && command.length <= limit;
  if (command.direction == DataDirection::kControllerToHost) {
    reads_++;
    large_reads_ += command.length >= kLargeReadBytes ? 1 : 0;
  }
  sender_.queue_capsule(command);
}

void TcpSession::sent(std::size_t bytes) {
  sender_.sent(bytes);
  for (auto at = held_.begin(); at != held_.end() && !stopped_;) {
    TcpCommand& command = *at;
    ++at;
    if (!sender_.references(command)) {
      IntrusiveList<TcpCommand, HeldTag>::remove(command);
      deliver(command, command.held_entry);
    }
  }
}

std::span<iovec> TcpSession::receive_slices() {
  // When mostly large payloads are to come, little is received into the buffer, so that little has
  // to be copied: a header tells where the rest goes, and it goes there.
  const bool mostly_large = large_reads_ * 2 > reads_;
  return receiver_.receive_slices(mostly_large ? PduReceiver::kMinBufferBytes : kIoBufferBytes);
}

std::optional<PduFault> TcpSession::received(std::size_t bytes) {
  receiver_.received(bytes);
  while (!stopped_) {
    const PduReceiver::Event event = receiver_.next();
    if (event == PduReceiver::Event::kNeedMore) {
      return std::nullopt;
    }
    if (!handle(event)) {
      return fault_;
    }
  }
  return std::nullopt;
}

bool TcpSession::handle(PduReceiver::Event event) {
  switch (event) {
    case PduReceiver::Event::kCapsuleResponse:
      return on_response(receiver_.capsule_response());
    case PduReceiver::Event::kDataBegin:
      return on_data_begin(receiver_.c2h_data());
    case PduReceiver::Event::kDataEnd:
      return on_data_end();
    case PduReceiver::Event::kR2t:
      return on_r2t(receiver_.r2t());
    case PduReceiver::Event::kFault:
      fault_ = receiver_.fault();
      return false;
    case PduReceiver::Event::kNeedMore:
      break;
  }
  return true;
}

bool TcpSession::fault(PduFaultReason reason, PduType type, std::uint16_t cid, std::uint64_t value,
                       std::uint64_t expected) {
  fault_ = PduFault{reason, static_cast<std::uint8_t>(type), cid, value, expected};
  return false;
}

TcpCommand* TcpSession::find(std::uint16_t cid) {
  const Request* request = requests_.find(cid);
  if (request == nullptr) {
    return nullptr;
  }
  TcpCommand& command = commands_[request->slot];
  const bool held = IntrusiveList<TcpCommand, HeldTag>::contains_anywhere(command);
  return command.active && !held ? &command : nullptr;
}

TcpCommand* TcpSession::find_sent(std::uint16_t cid, PduType type) {
  TcpCommand* command = find(cid);
  if (command == nullptr) {
    fault(PduFaultReason::kUnknownCommand, type, cid);
    return nullptr;
  }
  if (sender_.capsule_waits(*command)) {
    fault(PduFaultReason::kCommandNotSent, type, cid);
    return nullptr;
  }
  return command;
}

// [TCP 1.1 §3.6.2.7]
bool TcpSession::on_response(const spec::CapsuleResp& pdu) {
  const std::uint16_t cid = pdu.cqe.cid.get();
  TcpCommand* command = find_sent(cid, PduType::kCapsuleResp);
  if (command == nullptr) {
    return false;
  }
  spec::CompletionEntry entry = pdu.cqe;
  if (entry.status().ok()) {
    const bool reads = command->direction == DataDirection::kControllerToHost;
    const bool writes =
        command->direction == DataDirection::kHostToController && !command->in_capsule;
    const std::uint32_t moved = reads    ? command->received
                                : writes ? command->requested
                                         : command->length;
    if (moved != command->length && !may_be_short(command->request->sqe, options_.qid == 0)) {
      return fault(PduFaultReason::kDataMissing, PduType::kCapsuleResp, cid, moved,
                   command->length);
    }
    if (command->digest_error) {
      entry.set_status(spec::NvmeStatus::make(spec::GenericStatus::kTransientTransportError));
    }
  }
  complete(*command, entry);
  return true;
}

// [TCP 1.1 §3.6.2.9]
bool TcpSession::on_data_begin(const spec::C2hData& pdu) {
  const std::uint16_t cid = pdu.cccid.get();
  TcpCommand* command = find_sent(cid, PduType::kC2hData);
  if (command == nullptr) {
    return false;
  }
  if (command->direction != DataDirection::kControllerToHost) {
    return fault(PduFaultReason::kWrongDirection, PduType::kC2hData, cid);
  }
  if (pdu.datao.get() != command->received || command->last_seen) {
    return fault(PduFaultReason::kDataOrder, PduType::kC2hData, cid, pdu.datao.get(),
                 command->received);
  }
  const std::uint64_t end = static_cast<std::uint64_t>(pdu.datao.get()) + pdu.datal.get();
  if (end > command->length) {
    return fault(PduFaultReason::kDataRange, PduType::kC2hData, cid, end, command->length);
  }
  if (pdu.ch.is_last() != (end == command->length) &&
      !(pdu.ch.is_last() && may_be_short(command->request->sqe, options_.qid == 0))) {
    return fault(PduFaultReason::kLastFlag, PduType::kC2hData, cid, end, command->length);
  }
  data_command_ = command;
  receiver_.accept_data(command->receive_at);
  return true;
}

bool TcpSession::on_data_end() {
  const spec::C2hData pdu = receiver_.c2h_data();
  TcpCommand& command = *data_command_;
  data_command_ = nullptr;
  CHECK(command.active && command.request->cid == pdu.cccid.get());
  command.received += pdu.datal.get();
  command.receive_at = receiver_.destination();
  command.last_seen = pdu.ch.is_last();
  command.digest_error = command.digest_error || !receiver_.data_digest_ok();
  if (!pdu.ch.is_success()) {
    return true;
  }
  spec::CompletionEntry entry;
  entry.cid = pdu.cccid.get();
  if (command.digest_error) {
    entry.set_status(spec::NvmeStatus::make(spec::GenericStatus::kTransientTransportError));
  }
  complete(command, entry);
  return true;
}

// [TCP 1.1 §3.6.2.10] Our ICReq allows one R2T per command; a second one that overtakes the end of
// the first is put up with. They come in order and without gaps, so together they never ask for
// more than the command has.
bool TcpSession::on_r2t(const spec::R2t& pdu) {
  const std::uint16_t cid = pdu.cccid.get();
  TcpCommand* command = find_sent(cid, PduType::kR2t);
  if (command == nullptr) {
    return false;
  }
  if (command->direction != DataDirection::kHostToController) {
    return fault(PduFaultReason::kWrongDirection, PduType::kR2t, cid);
  }
  if (command->in_capsule) {
    return fault(PduFaultReason::kR2tInCapsule, PduType::kR2t, cid);
  }
  if (pdu.r2tl.get() == 0) {
    return fault(PduFaultReason::kR2tEmpty, PduType::kR2t, cid);
  }
  if (pdu.r2to.get() != command->requested) {
    return fault(PduFaultReason::kR2tOrder, PduType::kR2t, cid, pdu.r2to.get(), command->requested);
  }
  const std::uint64_t end = static_cast<std::uint64_t>(pdu.r2to.get()) + pdu.r2tl.get();
  if (end > command->length) {
    return fault(PduFaultReason::kR2tRange, PduType::kR2t, cid, end, command->length);
  }
  const R2tRange range{pdu.ttag.get(), pdu.r2to.get(), pdu.r2tl.get()};
  command->requested = static_cast<std::uint32_t>(end);
  if (command->current.left == 0) {
    command->current = range;
    sender_.queue_transfer(*command);
    return true;
  }
  if (command->next.left == 0) {
    command->next = range;
    return true;
  }
  return fault(PduFaultReason::kR2tLimit, PduType::kR2t, cid);
}

void TcpSession::complete(TcpCommand& command, const spec::CompletionEntry& entry) {
  if (command.direction == DataDirection::kHostToController && sender_.references(command)) {
    command.held_entry = entry;
    held_.push_back(command);
    return;
  }
  deliver(command, entry);
}

void TcpSession::deliver(TcpCommand& command, const spec::CompletionEntry& entry) {
  if (command.direction == DataDirection::kControllerToHost) {
    reads_--;
    large_reads_ -= command.length >= kLargeReadBytes ? 1 : 0;
  }
  command.active = false;
  sink_.on_completion(entry);
}

}  // namespace nvublk::nvme::tcp
