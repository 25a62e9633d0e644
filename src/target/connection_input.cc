// The PDUs of Connection that come from the host.

#include <algorithm>
#include <cstring>

#include "target/connection.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

template <typename T>
T load(const std::uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

constexpr std::uint8_t kInCapsuleSgl =
    SglDescriptor::make_identifier(SglType::kDataBlock, SglSubtype::kOffset);
constexpr std::uint8_t kTransportSgl =
    SglDescriptor::make_identifier(SglType::kTransportDataBlock, SglSubtype::kTransportA);

}  // namespace

void Connection::process() {
  while (phase_ == Phase::kInitialize || phase_ == Phase::kLive) {
    if (output_.pending_bytes() > kOutputHighWater) return;
    const Step step = incoming_ != nullptr ? process_h2c_payload() : process_pdu();
    if (step != Step::kAgain) return;
  }
}

Connection::Step Connection::process_pdu() {
  const Bytes bytes = input();
  if (bytes.size() < sizeof(CommonHeader)) return Step::kNeedMore;
  const auto ch = load<CommonHeader>(bytes.data());
  const auto shape = check_common_header(ch, negotiated_, phase_ == Phase::kInitialize);
  if (!shape) {
    terminate(shape.error(), bytes);
    return Step::kStop;
  }
  const bool streamed = ch.type() == PduType::kH2cData;
  const std::size_t needed = streamed ? shape->data_offset : shape->total_length;
  if (bytes.size() < needed) return Step::kNeedMore;
  worker_.stats().pdus_received.add();
  if (shape->header_digest) {
    const auto received = load<Le32>(bytes.data() + shape->header_length);
    if (received.get() != crc32c(bytes.data(), shape->header_length)) {
      worker_.stats().digest_errors.add();
      terminate({FatalErrorStatus::kHeaderDigestError, received.get()},
                bytes.first(shape->header_length));
      return Step::kStop;
    }
  }
  switch (ch.type()) {
    case PduType::kIcReq:
      on_initialize(bytes.data());
      break;
    case PduType::kCapsuleCmd:
      on_capsule(bytes.data(), *shape);
      break;
    case PduType::kH2cData:
      return on_h2c_data(bytes.data(), *shape);
    case PduType::kH2cTermReq:
      worker_.stats().terminations_received.add();
      close();
      return Step::kStop;
    case PduType::kIcResp:
    case PduType::kC2hTermReq:
    case PduType::kCapsuleResp:
    case PduType::kC2hData:
    case PduType::kR2t:
      return Step::kStop;
  }
  consume(shape->total_length);
  return Step::kAgain;
}

void Connection::on_initialize(const std::uint8_t* bytes) {
  const auto request = load<IcReq>(bytes);
  if (request.pfv.get() != kPduFormatVersion) {
    terminate({FatalErrorStatus::kUnsupportedParameter, offsetof(IcReq, pfv)},
              {bytes, sizeof(IcReq)});
    return;
  }
  if (request.hpda > kMaxPduDataAlignment) {
    terminate({FatalErrorStatus::kInvalidHeaderField, offsetof(IcReq, hpda)},
              {bytes, sizeof(IcReq)});
    return;
  }
  const bool header_digest = (request.dgst & kHeaderDigestEnable) != 0 && options_.header_digest;
  const bool data_digest = (request.dgst & kDataDigestEnable) != 0 && options_.data_digest;
  IcResp response;
  response.cpda = options_.cpda;
  response.dgst = static_cast<std::uint8_t>((header_digest ? kHeaderDigestEnable : 0) |
                                            (data_digest ? kDataDigestEnable : 0));
  response.maxh2cdata = options_.max_h2c_bytes;
  writer_.initialize_response(response);
  negotiated_.header_digest = header_digest;
  negotiated_.data_digest = data_digest;
  negotiated_.host_alignment = pdu_data_alignment_bytes(request.hpda);
  negotiated_.controller_alignment = pdu_data_alignment_bytes(options_.cpda);
  negotiated_.max_h2c_bytes = options_.max_h2c_bytes;
  phase_ = Phase::kLive;
}

void Connection::on_capsule(const std::uint8_t* bytes, const PduShape& shape) {
  const auto sqe = load<SubmissionEntry>(bytes + sizeof(CommonHeader));
  const Bytes data{bytes + shape.data_offset, shape.data_length};
  bool digest_error = false;
  if (shape.data_digest) {
    const auto received = load<Le32>(bytes + shape.data_offset + shape.data_length);
    digest_error = received.get() != crc32c(data.data(), data.size());
    if (digest_error) worker_.stats().digest_errors.add();
  }
  // The host has more commands outstanding than its queue has entries.
  if (outstanding_ >= queue_.entries()) {
    terminate({FatalErrorStatus::kPduSequenceError, 0}, {bytes, sizeof(CapsuleCmd)});
    return;
  }
  outstanding_++;
  auto& counters = admin() ? worker_.stats().admin_commands : worker_.stats().io_commands;
  counters[sqe.opcode].add();
  if (cids_.test(sqe.cid.get())) {
    writer_.response(queue_.complete(sqe, Reply::error(GenericStatus::kCommandIdConflict)),
                     admin());
    return;
  }
  cids_.set(sqe.cid.get());
  on_command(sqe, data, digest_error);
}

void Connection::on_command(const SubmissionEntry& sqe, Bytes in_capsule, bool digest_error) {
  if (sqe.direction() == DataDirection::kHostToController && sqe.sgl().length.get() != 0) {
    on_data_command(sqe, in_capsule, digest_error);
  } else {
    run(sqe, {});
  }
}

void Connection::on_data_command(const SubmissionEntry& sqe, Bytes in_capsule, bool digest_error) {
  if (const auto refused = queue_.admit(sqe)) {
    finish(sqe, Reply::with_status(*refused));
    return;
  }
  const SglDescriptor sgl = sqe.sgl();
  const std::uint32_t length = sgl.length.get();
  if (sgl.identifier == kInCapsuleSgl) {
    const std::uint64_t offset = sgl.address.get();
    if (offset > in_capsule.size() || length > in_capsule.size() - offset) {
      finish(sqe, Reply::error(offset > in_capsule.size() ? GenericStatus::kSglOffsetInvalid
                                                          : GenericStatus::kDataSglLengthInvalid));
    } else if (digest_error) {
      finish(sqe, Reply::error(GenericStatus::kTransientTransportError, false));
    } else {
      run(sqe, in_capsule.subspan(offset, length));
    }
    return;
  }
  if (sgl.identifier != kTransportSgl) {
    finish(sqe, Reply::error(GenericStatus::kSglTypeInvalid));
    return;
  }
  Transfer* transfer = transfers_.acquire(sqe, length);
  if (transfer == nullptr) {
    finish(sqe, Reply::error(GenericStatus::kInternalError, false));
    return;
  }
  solicit(*transfer);
}

void Connection::solicit(Transfer& transfer) {
  const std::uint32_t left = transfer.length - transfer.r2t.end_offset;
  const std::uint32_t length =
      options_.max_r2t_bytes == 0 ? left : std::min(left, options_.max_r2t_bytes);
  transfer.r2t.cid = transfer.sqe.cid.get();
  transfer.r2t.next_offset = transfer.r2t.end_offset;
  transfer.r2t.end_offset += length;
  transfer.soliciting = true;
  writer_.ready_to_transfer(transfer.r2t.cid, transfer.tag, transfer.r2t.next_offset, length,
                            admin());
}

Connection::Step Connection::on_h2c_data(const std::uint8_t* bytes, const PduShape& shape) {
  const auto pdu = load<H2cData>(bytes);
  Transfer* transfer = transfers_.find_solicited(pdu.ttag.get());
  if (transfer == nullptr) {
    terminate({FatalErrorStatus::kInvalidHeaderField, offsetof(H2cData, ttag)},
              {bytes, sizeof(H2cData)});
    return Step::kStop;
  }
  if (const auto good = check_h2c_data(pdu, shape, transfer->r2t); !good) {
    terminate(good.error(), {bytes, sizeof(H2cData)});
    return Step::kStop;
  }
  incoming_ = transfer;
  incoming_offset_ = pdu.datao.get();
  incoming_left_ = shape.data_length;
  incoming_digest_ = shape.data_digest;
  incoming_crc_ = {};
  consume(shape.data_offset);
  return Step::kAgain;
}

Connection::Step Connection::process_h2c_payload() {
  const Bytes bytes = input();
  const std::size_t part = std::min<std::size_t>(incoming_left_, bytes.size());
  if (part != 0) {
    std::memcpy(incoming_->buffer.get() + incoming_offset_, bytes.data(), part);
    if (incoming_digest_) incoming_crc_.update(bytes.data(), part);
    incoming_offset_ += static_cast<std::uint32_t>(part);
    incoming_left_ -= static_cast<std::uint32_t>(part);
    consume(part);
  }
  if (incoming_left_ != 0) return Step::kNeedMore;
  if (incoming_digest_) {
    if (input().size() < kDigestBytes) return Step::kNeedMore;
    if (load<Le32>(input().data()).get() != incoming_crc_.value()) {
      worker_.stats().digest_errors.add();
      incoming_->digest_error = true;
    }
    consume(kDigestBytes);
  }
  on_transfer_data_complete();
  return Step::kAgain;
}

void Connection::on_transfer_data_complete() {
  Transfer& transfer = *incoming_;
  incoming_ = nullptr;
  transfer.r2t.next_offset = incoming_offset_;
  if (transfer.r2t.next_offset != transfer.r2t.end_offset) return;
  transfer.soliciting = false;
  if (transfer.r2t.end_offset != transfer.length) {
    solicit(transfer);
    return;
  }
  const SubmissionEntry sqe = transfer.sqe;
  if (transfer.digest_error) {
    finish(sqe, Reply::error(GenericStatus::kTransientTransportError, false));
  } else {
    run(sqe, transfer.data());
  }
  transfers_.release(transfer);
}

void Connection::run(const SubmissionEntry& sqe, Bytes data) {
  FaultTable& faults = subsystem_.faults();
  if (faults.active()) {
    const auto fctype = static_cast<std::uint8_t>(sqe.fctype());
    const FaultVerdict verdict = faults.on_command(admin(), sqe.opcode, fctype);
    if (verdict.drop) {
      close();
      return;
    }
    if (verdict.stuck) {
      if (verdict.abortable) queue_.hold_stuck(sqe);
      return;
    }
    if (verdict.status) {
      finish(sqe, Reply::with_status(queue_.allowed(*verdict.status)));
      return;
    }
    if (verdict.delay_ms != 0) {
      run_later(sqe, data, verdict.delay_ms);
      return;
    }
  }
  finish(sqe, queue_.execute(sqe, data));
}

void Connection::run_later(const SubmissionEntry& sqe, Bytes data, std::uint32_t delay_ms) {
  Transfer* transfer = transfers_.acquire(sqe, static_cast<std::uint32_t>(data.size()));
  if (transfer == nullptr) {
    finish(sqe, Reply::error(GenericStatus::kInternalError, false));
    return;
  }
  std::copy(data.begin(), data.end(), transfer->buffer.get());
  worker_.after(std::chrono::milliseconds(delay_ms), [weak = weak_from_this(), transfer] {
    const auto self = weak.lock();
    if (self == nullptr || self->phase_ != Phase::kLive) return;
    self->finish(transfer->sqe, self->queue_.execute(transfer->sqe, transfer->data()));
    self->transfers_.release(*transfer);
    self->flush();
  });
}

void Connection::finish(const SubmissionEntry& sqe, Reply reply) {
  if (phase_ != Phase::kLive || reply.held) return;
  if (const auto first = std::move(reply.first)) {
    finish(first->first, Reply::with_status(first->second));
  }
  if (reply.data_length != 0 && sqe.sgl().identifier != kTransportSgl) {
    reply = Reply::error(GenericStatus::kSglTypeInvalid);
  } else if (reply.data_length > sqe.sgl().length.get()) {
    reply = Reply::error(GenericStatus::kDataSglLengthInvalid);
  }
  cids_.reset(sqe.cid.get());
  const CompletionEntry cqe = queue_.complete(sqe, reply);
  // SUCCESS needs that no SQ head has to be told. [TCP 1.1 §3.6.2.9]
  const bool success = reply.data_length != 0 && reply.status.ok() && reply.result == 0 &&
                       queue_.flow_control_disabled() && options_.success_flag;
  if (reply.data_length != 0) {
    if (negotiated_.data_digest && reply.shared_data) {
      // The digest has to be that of what is sent, also if someone writes there meanwhile.
      auto copy = std::make_shared_for_overwrite<std::uint8_t[]>(reply.data_length);
      std::memcpy(copy.get(), reply.data, reply.data_length);
      reply.data = copy.get();
      reply.owner = std::move(copy);
    }
    writer_.data(sqe.cid.get(), reply, options_.c2h_pdu_bytes, success, admin());
  }
  if (success) {
    worker_.stats().responses_saved.add();
  } else {
    writer_.response(cqe, admin());
  }
  if (sqe.is_fabrics() && queue_.connected()) {
    negotiated_.in_capsule_bytes = admin() ? kAdminInCapsuleBytes : options_.in_capsule_bytes;
  }
  if (admin()) check_keep_alive();
}

void Connection::terminate(const PduError& error, Bytes offender) {
  worker_.stats().terminations_sent.add();
  writer_.termination(error, offender);
  phase_ = Phase::kTerminating;
  start_deadline(kTerminationTime);
}

}  // namespace nvublk::target
