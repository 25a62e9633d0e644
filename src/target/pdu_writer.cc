#include "target/pdu_writer.h"

#include <algorithm>

#include "target/crc32c.h"

namespace nvublk::target {

using namespace nvme::spec;

void PduWriter::add_header_digest(OutputPdu& pdu, bool admin) {
  std::uint32_t digest = crc32c(pdu.head.data(), pdu.head_length);
  if (faults_.take(FaultKind::kCorruptHeaderDigest, admin)) digest ^= 0x5a5a5a5a;
  pdu.put(Le32{digest});
}

template <typename Pdu>
void PduWriter::simple(Pdu pdu, bool completes, bool admin) {
  OutputPdu& output = output_.start();
  if (negotiated_.header_digest) {
    pdu.ch.flags |= kPduHdgstf;
    pdu.ch.plen = static_cast<std::uint32_t>(sizeof(Pdu) + kDigestBytes);
  }
  output.put(pdu);
  if (negotiated_.header_digest) add_header_digest(output, admin);
  output.completes = completes;
  output_.finish();
}

void PduWriter::initialize_response(const IcResp& pdu) {
  output_.start().put(pdu);
  output_.finish();
}

void PduWriter::response(const CompletionEntry& cqe, bool admin) {
  CapsuleResp pdu;
  pdu.cqe = cqe;
  simple(pdu, true, admin);
}

void PduWriter::data(std::uint16_t cid, const Reply& reply, std::uint32_t max_pdu_bytes,
                     bool success, bool admin) {
  const std::uint32_t header_end =
      static_cast<std::uint32_t>(sizeof(C2hData) + (negotiated_.header_digest ? kDigestBytes : 0));
  const std::uint32_t align = negotiated_.host_alignment;
  const std::uint32_t pdo = (header_end + align - 1) / align * align;
  const std::uint32_t tail = negotiated_.data_digest ? kDigestBytes : 0;
  const std::uint32_t step = max_pdu_bytes == 0 ? reply.data_length : max_pdu_bytes;
  for (std::uint32_t offset = 0; offset < reply.data_length;) {
    const std::uint32_t length = std::min(step, reply.data_length - offset);
    const bool last = offset + length == reply.data_length;
    C2hData pdu;
    pdu.ch.flags = static_cast<std::uint8_t>(
        (negotiated_.header_digest ? kPduHdgstf : 0) | (negotiated_.data_digest ? kPduDdgstf : 0) |
        (last ? kPduLastPdu : 0) | (last && success ? kPduSuccess : 0));
    pdu.ch.pdo = static_cast<std::uint8_t>(pdo);
    pdu.ch.plen = pdo + length + tail;
    pdu.cccid = cid;
    pdu.datao = offset;
    pdu.datal = length;
    OutputPdu& output = output_.start();
    output.put(pdu);
    if (negotiated_.header_digest) add_header_digest(output, admin);
    std::fill(output.head.begin() + output.head_length, output.head.begin() + pdo, std::uint8_t{0});
    output.head_length = static_cast<std::uint8_t>(pdo);
    output.data = reply.data + offset;
    output.data_length = length;
    output.owner = reply.owner;
    output.completes = last && success;
    if (negotiated_.data_digest) {
      std::uint32_t digest = crc32c(output.data, length);
      if (faults_.take(FaultKind::kCorruptDataDigest, admin)) digest ^= 0x5a5a5a5a;
      const Le32 encoded{digest};
      std::memcpy(output.tail.data(), &encoded, sizeof(encoded));
      output.tail_length = kDigestBytes;
    }
    output_.finish();
    offset += length;
  }
}

void PduWriter::ready_to_transfer(std::uint16_t cid, std::uint16_t ttag, std::uint32_t offset,
                                  std::uint32_t length, bool admin) {
  R2t pdu;
  pdu.cccid = cid;
  pdu.ttag = ttag;
  pdu.r2to = offset;
  pdu.r2tl = length;
  simple(pdu, false, admin);
}

void PduWriter::termination(const PduError& error, std::span<const std::uint8_t> offender) {
  const std::size_t copied = std::min<std::size_t>(offender.size(), kTermReqMaxDataBytes);
  TermReq pdu;
  pdu.ch.pdu_type = static_cast<std::uint8_t>(PduType::kC2hTermReq);
  pdu.ch.hlen = sizeof(TermReq);
  pdu.ch.plen = static_cast<std::uint32_t>(sizeof(TermReq) + copied);
  pdu.fes = static_cast<std::uint16_t>(error.fes);
  pdu.fei = error.fei;
  OutputPdu& output = output_.start();
  output.put(pdu);
  std::copy_n(offender.begin(), copied, output.head.begin() + output.head_length);
  output.head_length = static_cast<std::uint8_t>(output.head_length + copied);
  output_.finish();
}

}  // namespace nvublk::target
