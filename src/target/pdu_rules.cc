#include "target/pdu_rules.h"

#include <cstddef>

namespace nvublk::target {

using namespace nvme::spec;

namespace {

constexpr std::uint32_t kFlagsAt = offsetof(CommonHeader, flags);
constexpr std::uint32_t kHlenAt = offsetof(CommonHeader, hlen);
constexpr std::uint32_t kPdoAt = offsetof(CommonHeader, pdo);
constexpr std::uint32_t kPlenAt = offsetof(CommonHeader, plen);

std::unexpected<PduError> bad_field(std::uint32_t offset) {
  return std::unexpected(PduError{FatalErrorStatus::kInvalidHeaderField, offset});
}

bool from_host(PduType type) {
  return type == PduType::kIcReq || type == PduType::kH2cTermReq || type == PduType::kCapsuleCmd ||
         type == PduType::kH2cData;
}

std::uint32_t max_data(PduType type, const Negotiated& negotiated) {
  switch (type) {
    case PduType::kCapsuleCmd:
      return negotiated.in_capsule_bytes;
    case PduType::kH2cData:
      return negotiated.max_h2c_bytes;
    case PduType::kIcReq:
    case PduType::kIcResp:
    case PduType::kH2cTermReq:
    case PduType::kC2hTermReq:
    case PduType::kCapsuleResp:
    case PduType::kC2hData:
    case PduType::kR2t:
      break;
  }
  return 0;
}

/// Where data begins and ends, for a PDU that has some.
std::expected<void, PduError> place_data(const CommonHeader& ch, const Negotiated& negotiated,
                                         PduShape& shape, std::uint32_t header_end) {
  const std::uint32_t digest = negotiated.data_digest ? kDigestBytes : 0;
  if (ch.has_data_digest() != negotiated.data_digest) return bad_field(kFlagsAt);
  if (ch.pdo < header_end || ch.pdo % negotiated.controller_alignment != 0) {
    return bad_field(kPdoAt);
  }
  if (shape.total_length <= ch.pdo + digest) return bad_field(kPlenAt);
  shape.data_offset = ch.pdo;
  shape.data_length = shape.total_length - ch.pdo - digest;
  shape.data_digest = negotiated.data_digest;
  if (shape.data_length > max_data(ch.type(), negotiated)) {
    return std::unexpected(PduError{FatalErrorStatus::kLimitExceeded, 0});
  }
  return {};
}

}  // namespace

std::expected<PduShape, PduError> check_common_header(const CommonHeader& ch,
                                                      const Negotiated& negotiated, bool first) {
  const PduType type = ch.type();
  if (!from_host(type)) return bad_field(0);
  if ((type == PduType::kIcReq) != first && type != PduType::kH2cTermReq) {
    return std::unexpected(PduError{FatalErrorStatus::kPduSequenceError, 0});
  }
  PduShape shape;
  shape.header_length = pdu_header_length(type);
  shape.total_length = ch.plen.get();
  if (ch.hlen != shape.header_length) return bad_field(kHlenAt);
  if (type == PduType::kH2cTermReq) {
    if (shape.total_length < shape.header_length || shape.total_length > kTermReqMaxBytes) {
      return bad_field(kPlenAt);
    }
    shape.data_offset = shape.total_length;
    return shape;
  }
  if (type == PduType::kIcReq) {
    if (shape.total_length != shape.header_length) return bad_field(kPlenAt);
    shape.data_offset = shape.total_length;
    return shape;
  }
  if (ch.has_header_digest() != negotiated.header_digest) return bad_field(kFlagsAt);
  shape.header_digest = negotiated.header_digest;
  const auto header_end = static_cast<std::uint32_t>(shape.header_length +
                                                     (negotiated.header_digest ? kDigestBytes : 0));
  if (shape.total_length < header_end) return bad_field(kPlenAt);
  if (shape.total_length == header_end) {
    if (type == PduType::kH2cData) return bad_field(kPlenAt);
    if (ch.has_data_digest()) return bad_field(kFlagsAt);
    shape.data_offset = shape.total_length;
    return shape;
  }
  if (auto placed = place_data(ch, negotiated, shape, header_end); !placed) {
    return std::unexpected(placed.error());
  }
  return shape;
}

std::expected<void, PduError> check_h2c_data(const H2cData& pdu, const PduShape& shape,
                                             const OpenR2t& r2t) {
  const std::uint32_t length = pdu.datal.get();
  if (pdu.cccid.get() != r2t.cid) return bad_field(offsetof(H2cData, cccid));
  if (length != shape.data_length) return bad_field(offsetof(H2cData, datal));
  if (pdu.datao.get() != r2t.next_offset || length > r2t.end_offset - r2t.next_offset) {
    return std::unexpected(PduError{FatalErrorStatus::kDataTransferOutOfRange, 0});
  }
  const bool ends = length == r2t.end_offset - r2t.next_offset;
  if (pdu.ch.is_last() != ends) return bad_field(kFlagsAt);
  return {};
}

}  // namespace nvublk::target
