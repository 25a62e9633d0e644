#include "nvme/tcp/pdu_sender.h"

#include <algorithm>
#include <cstring>

#include "engine/check.h"
#include "nvme/spec/sgl.h"
#include "nvme/tcp/crc32c.h"

namespace nvublk::nvme::tcp {

namespace {

std::uint32_t data_digest_of(DataCursor at, std::uint32_t bytes) {
  Crc32c crc;
  while (bytes > 0) {
    const std::span<std::byte> piece = at.front(bytes);
    crc.add(piece.data(), piece.size());
    at.advance(piece.size());
    bytes -= static_cast<std::uint32_t>(piece.size());
  }
  return crc.value();
}

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

// Written to, so that it is in memory before the first I/O.
PduSender::PduSender() : staging_(std::make_unique<std::byte[]>(kStagingBytes)) {}

PduSender::~PduSender() {
  clear();
}

void PduSender::clear() {
  while (!capsules_.empty()) {
    capsules_.pop_front();
  }
  while (!transfers_.empty()) {
    transfers_.pop_front();
  }
  unfinished_ = {};
  batch_at_ = batch_count_ = 0;
}

void PduSender::queue_capsule(TcpCommand& command) {
  capsules_.push_back(command);
}

void PduSender::queue_transfer(TcpCommand& command) {
  CHECK(command.current.left > 0);
  transfers_.push_back(command);
}

bool PduSender::has_room() const {
  return unfinished_.command == nullptr && batch_bytes_ < kBatchBytes &&
         staged_ + kMaxHeaderBytes + spec::kDigestBytes <= kStagingBytes &&
         batch_count_ + 3 <= kMaxSlices;
}

std::span<iovec> PduSender::build() {
  if (batch_at_ == batch_count_) {
    CHECK(built_ == sent_ || unfinished_.command != nullptr);
    batch_at_ = batch_count_ = 0;
    batch_bytes_ = staged_ = 0;
    if (unfinished_.command != nullptr) {
      const Unfinished rest = unfinished_;
      unfinished_ = {};
      add_data(*rest.command, rest.left, rest.digest);
    }
    while (!capsules_.empty() && has_room()) {
      encode_capsule(capsules_.pop_front());
    }
    while (!transfers_.empty() && has_room()) {
      encode_transfer(transfers_.front());
    }
  }
  return std::span(slices_).subspan(batch_at_, batch_count_ - batch_at_);
}

void PduSender::sent(std::size_t bytes) {
  sent_ += bytes;
  CHECK(sent_ <= built_);
  while (bytes > 0) {
    CHECK(batch_at_ < batch_count_);
    iovec& slice = slices_[batch_at_];
    const std::size_t step = std::min(bytes, slice.iov_len);
    slice.iov_base = static_cast<std::byte*>(slice.iov_base) + step;
    slice.iov_len -= step;
    bytes -= step;
    if (slice.iov_len == 0) {
      batch_at_++;
    }
  }
}

// [TCP 1.1 §3.6.2.6] The data is described by SGL1: in the capsule, or for the transport to move.
void PduSender::encode_capsule(TcpCommand& command) {
  spec::CapsuleCmd pdu;
  pdu.sqe = command.request->sqe;
  pdu.sqe.cid = command.request->cid;
  pdu.sqe.set_sgl(command.in_capsule ? spec::SglDescriptor::in_capsule(0, command.length)
                                     : spec::SglDescriptor::transport(command.length));
  encode(pdu, command, command.in_capsule ? command.length : 0);
}

// [TCP 1.1 §3.6.2.8] One H2CData PDU: as much of the R2T as MAXH2CDATA allows.
void PduSender::encode_transfer(TcpCommand& command) {
  R2tRange& range = command.current;
  const std::uint32_t bytes = std::min(range.left, parameters_.max_h2c_data_bytes);
  spec::H2cData pdu;
  pdu.cccid = command.request->cid;
  pdu.ttag = range.ttag;
  pdu.datao = range.offset;
  pdu.datal = bytes;
  if (bytes == range.left) {
    pdu.ch.flags = spec::kPduLastPdu;
  }
  range.offset += bytes;
  range.left -= bytes;
  if (range.left == 0) {
    range = command.next;
    command.next = {};
  }
  if (range.left == 0) {
    IntrusiveList<TcpCommand, TransferTag>::remove(command);
  }
  encode(pdu, command, bytes);
}

template <typename Pdu>
void PduSender::encode(Pdu& pdu, TcpCommand& command, std::uint32_t data_bytes) {
  std::size_t header_bytes = sizeof(pdu);
  if (parameters_.header_digest) {
    pdu.ch.flags |= spec::kPduHdgstf;
    header_bytes += spec::kDigestBytes;
  }
  std::size_t total = header_bytes;
  std::uint32_t digest = 0;
  if (data_bytes > 0) {
    const std::size_t data_at = round_up(header_bytes, parameters_.data_alignment_bytes);
    CHECK(data_at <= kMaxHeaderBytes);
    pdu.ch.pdo = static_cast<std::uint8_t>(data_at);
    total = data_at + data_bytes;
    header_bytes = data_at;
    if (parameters_.data_digest) {
      pdu.ch.flags |= spec::kPduDdgstf;
      digest = data_digest_of(command.send_at, data_bytes);
      total += spec::kDigestBytes;
    }
  }
  pdu.ch.plen = static_cast<std::uint32_t>(total);
  std::byte* at = add_staged(header_bytes);
  std::memcpy(at, &pdu, sizeof(pdu));
  std::size_t written = sizeof(pdu);
  if (parameters_.header_digest) {
    const Le32 header_digest{crc32c(at, sizeof(pdu))};
    std::memcpy(at + written, &header_digest, sizeof(header_digest));
    written += sizeof(header_digest);
  }
  std::memset(at + written, 0, header_bytes - written);
  built_ += total;
  command.send_end = built_;
  add_data(command, data_bytes, digest);
}

void PduSender::add_data(TcpCommand& command, std::uint32_t data_bytes, std::uint32_t digest) {
  if (data_bytes == 0) {
    return;
  }
  while (data_bytes > 0) {
    if (batch_count_ + 1 >= kMaxSlices) {  // one stays free for the digest
      unfinished_ = {&command, data_bytes, digest};
      return;
    }
    const std::span<std::byte> piece = command.send_at.front(data_bytes);
    add_slice(piece.data(), piece.size());
    command.send_at.advance(piece.size());
    data_bytes -= static_cast<std::uint32_t>(piece.size());
  }
  if (parameters_.data_digest) {
    add_digest(digest);
  }
}

void PduSender::add_digest(std::uint32_t digest) {
  const Le32 value{digest};
  std::memcpy(add_staged(sizeof(value)), &value, sizeof(value));
}

std::byte* PduSender::add_staged(std::size_t bytes) {
  CHECK(staged_ + bytes <= kStagingBytes);
  std::byte* at = staging_.get() + staged_;
  staged_ += bytes;
  add_slice(at, bytes);
  return at;
}

// Neighbours become one slice: headers of commands without data lie side by side.
void PduSender::add_slice(void* data, std::size_t bytes) {
  batch_bytes_ += bytes;
  if (batch_count_ > 0) {
    iovec& last = slices_[batch_count_ - 1];
    if (static_cast<std::byte*>(last.iov_base) + last.iov_len == data) {
      last.iov_len += bytes;
      return;
    }
  }
  CHECK(batch_count_ < kMaxSlices);
  slices_[batch_count_++] = iovec{data, bytes};
}

}  // namespace nvublk::nvme::tcp
