#include "nvme/tcp/pdu_receiver.h"

#include <algorithm>
#include <cstring>

#include "engine/check.h"

namespace nvublk::nvme::tcp {

namespace {

constexpr std::size_t kHpdaBytes = 4;  // the alignment that our ICReq asks for

bool is_from_controller(spec::PduType type) {
  return type == spec::PduType::kC2hTermReq || type == spec::PduType::kCapsuleResp ||
         type == spec::PduType::kC2hData || type == spec::PduType::kR2t;
}

std::uint32_t load_le32(const std::byte* from) {
  Le32 value;
  std::memcpy(&value, from, sizeof(value));
  return value.get();
}

}  // namespace

PduReceiver::PduReceiver(std::size_t buffer_bytes)
    // Written to, so that it is in memory before the first I/O.
    : size_(buffer_bytes), buffer_(std::make_unique<std::byte[]>(buffer_bytes)) {
  CHECK(buffer_bytes >= kMinBufferBytes);
}

void PduReceiver::start(const ConnectionParameters& parameters) {
  CHECK(begin_ == 0 && end_ == 0 && phase_ == Phase::kHeader);
  header_digest_ = parameters.header_digest;
  data_digest_ = parameters.data_digest;
}

template <typename Pdu>
Pdu PduReceiver::pdu_as() const {
  CHECK(pdu_length_ >= sizeof(Pdu));
  Pdu pdu;
  std::memcpy(&pdu, pdu_.data(), sizeof(pdu));
  return pdu;
}
template spec::CapsuleResp PduReceiver::pdu_as<spec::CapsuleResp>() const;
template spec::C2hData PduReceiver::pdu_as<spec::C2hData>() const;
template spec::R2t PduReceiver::pdu_as<spec::R2t>() const;

void PduReceiver::check_invariants() const {
  CHECK(begin_ <= end_ && end_ <= size_);
  CHECK(direct_ == 0 && offered_ == 0);
  CHECK(phase_ == Phase::kData || data_left_ == 0);
}

PduReceiver::Event PduReceiver::next() {
  check_invariants();
  switch (phase_) {
    case Phase::kHeader:
      return next_header();
    case Phase::kData:
      return next_data();
    case Phase::kDigest:
      return next_digest();
    case Phase::kFault:
      return Event::kFault;
    case Phase::kAccept:
      break;
  }
  CHECK(phase_ != Phase::kAccept);
  return Event::kFault;
}

PduReceiver::Event PduReceiver::need_more() {
  // What is left is a part of a header or of a digest: moving it to the front costs nothing and
  // keeps every header contiguous.
  if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, pending());
    end_ -= begin_;
    begin_ = 0;
  }
  return Event::kNeedMore;
}

void PduReceiver::keep_header(std::size_t bytes) {
  pdu_length_ = std::min({bytes, pending(), pdu_.size()});
  std::memcpy(pdu_.data(), buffer_.get() + begin_, pdu_length_);
}

PduReceiver::Event PduReceiver::fail(PduFaultReason reason, std::uint64_t value,
                                     std::uint64_t expected) {
  phase_ = Phase::kFault;
  data_left_ = 0;
  fault_.reason = reason;
  fault_.pdu_type = std::to_integer<std::uint8_t>(pdu_[0]);
  fault_.value = value;
  fault_.expected = expected;
  return Event::kFault;
}

PduReceiver::Event PduReceiver::next_header() {
  spec::CommonHeader ch;
  if (pending() < sizeof(ch)) {
    return need_more();
  }
  std::memcpy(&ch, buffer_.get() + begin_, sizeof(ch));
  std::size_t header_bytes = 0;
  if (check_common_header(ch, header_bytes) == Event::kFault) {
    return Event::kFault;
  }
  if (pending() < header_bytes) {
    return need_more();
  }
  keep_header(ch.hlen);
  if (ch.has_header_digest() && check_header_digest(ch) == Event::kFault) {
    return Event::kFault;
  }
  begin_ += header_bytes;
  return report(ch);
}

// Sets how many bytes precede the data (all of the PDU if it has none). Returns kFault or
// kNeedMore.
PduReceiver::Event PduReceiver::check_common_header(const spec::CommonHeader& ch,
                                                    std::size_t& header_bytes) {
  keep_header(sizeof(ch));
  const spec::PduType type = ch.type();
  const std::uint32_t plen = ch.plen.get();
  if (!is_from_controller(type)) {
    return fail(PduFaultReason::kUnexpectedType);
  }
  if (ch.hlen != spec::pdu_header_length(type)) {
    return fail(PduFaultReason::kHeaderLength, ch.hlen, spec::pdu_header_length(type));
  }
  if (type == spec::PduType::kC2hTermReq) {
    header_bytes = plen;
    if (plen < ch.hlen || plen > spec::kTermReqMaxBytes) {
      return fail(PduFaultReason::kPduLength, plen, spec::kTermReqMaxBytes);
    }
    return Event::kNeedMore;
  }
  if (ch.has_header_digest() != header_digest_) {
    return fail(PduFaultReason::kHeaderDigestFlag);
  }
  const std::size_t header_end = ch.hlen + (header_digest_ ? spec::kDigestBytes : 0);
  header_bytes = header_end;
  if (type != spec::PduType::kC2hData) {
    // Without data the flag means nothing, but a digest that nobody asked for is still refused.
    if (ch.has_data_digest() && !data_digest_) {
      return fail(PduFaultReason::kDataDigestFlag);
    }
    if (plen != header_end) {
      return fail(PduFaultReason::kPduLength, plen, header_end);
    }
    return Event::kNeedMore;
  }
  if (ch.has_data_digest() != data_digest_) {
    return fail(PduFaultReason::kDataDigestFlag);
  }
  if (ch.pdo < header_end || ch.pdo % kHpdaBytes != 0) {
    return fail(PduFaultReason::kDataOffsetField, ch.pdo, header_end);
  }
  header_bytes = ch.pdo;
  return Event::kNeedMore;
}

PduReceiver::Event PduReceiver::check_header_digest(const spec::CommonHeader& ch) {
  if (ch.type() == spec::PduType::kC2hTermReq) {  // never has one, whatever the flag says
    return Event::kNeedMore;
  }
  const std::byte* at = buffer_.get() + begin_;
  const std::uint32_t digest = load_le32(at + ch.hlen);
  const std::uint32_t computed = crc32c(at, ch.hlen);
  if (digest != computed) {
    return fail(PduFaultReason::kHeaderDigest, digest, computed);
  }
  return Event::kNeedMore;
}

PduReceiver::Event PduReceiver::report(const spec::CommonHeader& ch) {
  if (ch.type() == spec::PduType::kCapsuleResp) {
    return Event::kCapsuleResponse;
  }
  if (ch.type() == spec::PduType::kC2hData) {
    return begin_data();
  }
  if (ch.type() == spec::PduType::kR2t) {
    return Event::kR2t;
  }
  const auto request = pdu_as<spec::TermReq>();
  return fail(PduFaultReason::kTerminated, request.fes.get(), request.fei.get());
}

PduReceiver::Event PduReceiver::begin_data() {
  const spec::C2hData pdu = c2h_data();
  fault_.cid = pdu.cccid.get();
  if (pdu.datal.get() == 0) {
    return fail(PduFaultReason::kNoData);
  }
  const std::uint64_t expected = static_cast<std::uint64_t>(pdu.ch.pdo) + pdu.datal.get() +
                                 (data_digest_ ? spec::kDigestBytes : 0);
  if (pdu.ch.plen.get() != expected) {
    return fail(PduFaultReason::kPduLength, pdu.ch.plen.get(), expected);
  }
  if (pdu.ch.is_success() && !pdu.ch.is_last()) {
    return fail(PduFaultReason::kSuccessFlag);
  }
  phase_ = Phase::kAccept;
  return Event::kDataBegin;
}

void PduReceiver::accept_data(const DataCursor& destination) {
  CHECK(phase_ == Phase::kAccept);
  phase_ = Phase::kData;
  data_left_ = c2h_data().datal.get();
  destination_ = destination;
  data_digest_ok_ = true;
  crc_ = Crc32c{};
}

PduReceiver::Event PduReceiver::next_data() {
  std::size_t bytes = std::min(pending(), data_left_);
  data_left_ -= bytes;
  while (bytes > 0) {
    const std::span<std::byte> to = destination_.front(bytes);
    if (data_digest_) {
      crc_.add_copy(to.data(), buffer_.get() + begin_, to.size());
    } else {
      std::memcpy(to.data(), buffer_.get() + begin_, to.size());
    }
    destination_.advance(to.size());
    begin_ += to.size();
    bytes -= to.size();
  }
  if (data_left_ > 0) {
    return need_more();
  }
  phase_ = data_digest_ ? Phase::kDigest : Phase::kHeader;
  return data_digest_ ? next_digest() : Event::kDataEnd;
}

PduReceiver::Event PduReceiver::next_digest() {
  if (pending() < spec::kDigestBytes) {
    return need_more();
  }
  data_digest_ok_ = load_le32(buffer_.get() + begin_) == crc_.value();
  begin_ += spec::kDigestBytes;
  phase_ = Phase::kHeader;
  return Event::kDataEnd;
}

std::span<iovec> PduReceiver::receive_slices(std::size_t buffer_limit_bytes) {
  CHECK(begin_ == 0 && buffer_limit_bytes >= kMinBufferBytes);
  CHECK(phase_ != Phase::kAccept && phase_ != Phase::kFault);
  std::size_t count = 0;
  direct_ = 0;
  offered_ = 0;
  if (phase_ == Phase::kData && data_left_ >= kDirectBytes) {
    DataCursor at = destination_;
    while (direct_ < data_left_ && count < kMaxSlices - 1) {
      const std::span<std::byte> piece = at.front(data_left_ - direct_);
      slices_[count++] = iovec{piece.data(), piece.size()};
      direct_ += piece.size();
      at.advance(piece.size());
    }
  }
  if (direct_ == 0 || direct_ == data_left_) {
    offered_ = std::min(size_ - end_, buffer_limit_bytes);
    slices_[count++] = iovec{buffer_.get() + end_, offered_};
  }
  return std::span(slices_).first(count);
}

void PduReceiver::received(std::size_t bytes) {
  CHECK(bytes <= direct_ + offered_);
  std::size_t direct = std::min(bytes, direct_);
  end_ += bytes - direct;
  data_left_ -= direct;
  while (direct > 0) {
    const std::span<std::byte> piece = destination_.front(direct);
    if (data_digest_) {
      crc_.add(piece.data(), piece.size());
    }
    destination_.advance(piece.size());
    direct -= piece.size();
  }
  direct_ = 0;
  offered_ = 0;
}

}  // namespace nvublk::nvme::tcp
