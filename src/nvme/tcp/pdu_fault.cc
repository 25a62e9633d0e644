#include "nvme/tcp/pdu_fault.h"

#include <array>
#include <cstddef>
#include <cstdio>

#include "engine/check.h"

namespace nvublk::nvme::tcp {

namespace {

using spec::FatalErrorStatus;

struct Row {
  PduFaultReason reason;
  FatalErrorStatus fes;
  std::uint32_t field;  // FEI for kInvalidHeaderField: the offset of the field
  const char* text;     // after "the controller sent TYPE"
  bool names_command;
  bool has_values;
};

constexpr std::uint32_t kTypeField = offsetof(spec::CommonHeader, pdu_type);
constexpr std::uint32_t kFlagsField = offsetof(spec::CommonHeader, flags);
constexpr std::uint32_t kHlenField = offsetof(spec::CommonHeader, hlen);
constexpr std::uint32_t kPdoField = offsetof(spec::CommonHeader, pdo);
constexpr std::uint32_t kPlenField = offsetof(spec::CommonHeader, plen);
constexpr std::uint32_t kCommandField = offsetof(spec::C2hData, cccid);
constexpr std::uint32_t kOffsetField = offsetof(spec::C2hData, datao);
constexpr std::uint32_t kLengthField = offsetof(spec::C2hData, datal);

constexpr std::array kRows = {
    Row{PduFaultReason::kUnexpectedType, FatalErrorStatus::kPduSequenceError, kTypeField,
        "which it must not send now", false, false},
    Row{PduFaultReason::kHeaderLength, FatalErrorStatus::kInvalidHeaderField, kHlenField,
        "with a wrong header length", false, true},
    Row{PduFaultReason::kPduLength, FatalErrorStatus::kInvalidHeaderField, kPlenField,
        "with a wrong length", false, true},
    Row{PduFaultReason::kDataOffsetField, FatalErrorStatus::kInvalidHeaderField, kPdoField,
        "with a wrong data offset (PDO)", false, true},
    Row{PduFaultReason::kHeaderDigestFlag, FatalErrorStatus::kInvalidHeaderField, kFlagsField,
        "whose header digest flag is not what was negotiated", false, false},
    Row{PduFaultReason::kDataDigestFlag, FatalErrorStatus::kInvalidHeaderField, kFlagsField,
        "whose data digest flag is not what was negotiated", false, false},
    Row{PduFaultReason::kHeaderDigest, FatalErrorStatus::kHeaderDigestError, 0,
        "with a wrong header digest", false, true},
    Row{PduFaultReason::kNoData, FatalErrorStatus::kInvalidHeaderField, kLengthField,
        "without data", true, false},
    Row{PduFaultReason::kSuccessFlag, FatalErrorStatus::kInvalidHeaderField, kFlagsField,
        "with SUCCESS set but not LAST_PDU", true, false},
    Row{PduFaultReason::kUnknownCommand, FatalErrorStatus::kInvalidHeaderField, kCommandField,
        "for a command that is not outstanding", true, false},
    Row{PduFaultReason::kCommandNotSent, FatalErrorStatus::kPduSequenceError, kTypeField,
        "for a command that it has not been sent yet", true, false},
    Row{PduFaultReason::kWrongDirection, FatalErrorStatus::kPduSequenceError, kTypeField,
        "for a command whose data does not go that way", true, false},
    Row{PduFaultReason::kDataOrder, FatalErrorStatus::kInvalidHeaderField, kOffsetField,
        "out of order: its offset is wrong", true, true},
    Row{PduFaultReason::kDataRange, FatalErrorStatus::kDataTransferOutOfRange, 0,
        "beyond the end of the command's buffer", true, true},
    Row{PduFaultReason::kLastFlag, FatalErrorStatus::kInvalidHeaderField, kFlagsField,
        "whose LAST_PDU flag does not match how much data has come", true, true},
    Row{PduFaultReason::kR2tEmpty, FatalErrorStatus::kInvalidHeaderField, offsetof(spec::R2t, r2tl),
        "that asks for no data", true, false},
    Row{PduFaultReason::kR2tOrder, FatalErrorStatus::kInvalidHeaderField, offsetof(spec::R2t, r2to),
        "out of order: its offset is wrong", true, true},
    Row{PduFaultReason::kR2tRange, FatalErrorStatus::kDataTransferOutOfRange, 0,
        "beyond the end of the command's data", true, true},
    Row{PduFaultReason::kR2tInCapsule, FatalErrorStatus::kPduSequenceError, kTypeField,
        "for data that went with the command capsule", true, false},
    Row{PduFaultReason::kR2tLimit, FatalErrorStatus::kLimitExceeded, 0,
        "although the command has too many of them outstanding", true, false},
    Row{PduFaultReason::kDataMissing, FatalErrorStatus::kPduSequenceError, kTypeField,
        "with success, but not all data has moved", true, true},
    Row{PduFaultReason::kTerminated, FatalErrorStatus::kInvalidHeaderField, 0, "", false, false},
};

constexpr bool rows_follow_enum_order() {
  for (std::size_t i = 0; i < kRows.size(); i++) {
    if (kRows[i].reason != static_cast<PduFaultReason>(i)) {
      return false;
    }
  }
  return kRows.size() == static_cast<std::size_t>(PduFaultReason::kTerminated) + 1;
}
static_assert(rows_follow_enum_order());

const Row& row_of(PduFaultReason reason) {
  const auto index = static_cast<std::size_t>(reason);
  CHECK(index < kRows.size());
  return kRows[index];
}

const char* termination_name(std::uint64_t fes) {
  switch (static_cast<FatalErrorStatus>(fes)) {
    case FatalErrorStatus::kInvalidHeaderField:
      return "invalid PDU header field";
    case FatalErrorStatus::kPduSequenceError:
      return "PDU sequence error";
    case FatalErrorStatus::kHeaderDigestError:
      return "header digest error";
    case FatalErrorStatus::kDataTransferOutOfRange:
      return "data transfer out of range";
    case FatalErrorStatus::kLimitExceeded:
      return "data transfer limit exceeded";
    case FatalErrorStatus::kUnsupportedParameter:
      return "unsupported parameter";
  }
  return "unknown reason";
}

std::string termination_text(const PduFault& fault) {
  std::array<char, 160> text{};
  const auto fes = static_cast<unsigned>(fault.value);
  const auto fei = static_cast<unsigned>(fault.expected);
  const auto status = static_cast<FatalErrorStatus>(fes);
  if (status == FatalErrorStatus::kInvalidHeaderField ||
      status == FatalErrorStatus::kUnsupportedParameter) {
    std::snprintf(text.data(), text.size(),
                  "the controller ended the connection: %s (FES %02xh) at byte %u of what it got",
                  termination_name(fes), fes, fei);
  } else {
    std::snprintf(text.data(), text.size(),
                  "the controller ended the connection: %s (FES %02xh, FEI %xh)",
                  termination_name(fes), fes, fei);
  }
  return text.data();
}

}  // namespace

std::string pdu_type_name(std::uint8_t pdu_type) {
  switch (static_cast<spec::PduType>(pdu_type)) {
    case spec::PduType::kIcReq:
      return "ICReq";
    case spec::PduType::kIcResp:
      return "ICResp";
    case spec::PduType::kH2cTermReq:
      return "H2CTermReq";
    case spec::PduType::kC2hTermReq:
      return "C2HTermReq";
    case spec::PduType::kCapsuleCmd:
      return "CapsuleCmd";
    case spec::PduType::kCapsuleResp:
      return "CapsuleResp";
    case spec::PduType::kH2cData:
      return "H2CData";
    case spec::PduType::kC2hData:
      return "C2HData";
    case spec::PduType::kR2t:
      return "R2T";
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "a PDU of the unknown type %02xh", pdu_type);
  return text.data();
}

std::string pdu_fault_text(const PduFault& fault) {
  if (fault.reason == PduFaultReason::kTerminated) {
    return termination_text(fault);
  }
  const Row& row = row_of(fault.reason);
  std::string text = "the controller sent " + pdu_type_name(fault.pdu_type) + " " + row.text;
  if (row.names_command) {
    text += " (command " + std::to_string(fault.cid) + ")";
  }
  if (row.has_values) {
    text += ": " + std::to_string(fault.value) + ", expected " + std::to_string(fault.expected);
  }
  return text;
}

spec::TermReq make_termination_request(const PduFault& fault) {
  CHECK(fault.reason != PduFaultReason::kTerminated);
  const Row& row = row_of(fault.reason);
  spec::TermReq request;
  request.ch.pdu_type = static_cast<std::uint8_t>(spec::PduType::kH2cTermReq);
  request.ch.hlen = sizeof(spec::TermReq);
  request.ch.plen = sizeof(spec::TermReq);
  request.fes = static_cast<std::uint16_t>(row.fes);
  if (row.fes == FatalErrorStatus::kInvalidHeaderField) {
    request.fei = row.field;
  } else if (row.fes == FatalErrorStatus::kHeaderDigestError) {
    request.fei = static_cast<std::uint32_t>(fault.value);
  }
  return request;
}

}  // namespace nvublk::nvme::tcp
