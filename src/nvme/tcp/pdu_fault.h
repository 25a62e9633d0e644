#pragma once

// Why a connection cannot go on: what a controller sent that it must not send, or that it said so
// itself. Small and trivially copyable; the sentence is made when it is needed.

#include <cstdint>
#include <string>

#include "nvme/spec/tcp_pdu.h"

namespace nvublk::nvme::tcp {

enum class PduFaultReason : std::uint8_t {
  // Framing: what a PDU says about itself.
  kUnexpectedType,
  kHeaderLength,
  kPduLength,
  kDataOffsetField,  ///< PDO
  kHeaderDigestFlag,
  kDataDigestFlag,
  kHeaderDigest,
  kNoData,       ///< a C2HData PDU without data
  kSuccessFlag,  ///< SUCCESS without LAST_PDU
  // What a PDU says about a command.
  kUnknownCommand,
  kCommandNotSent,  ///< an answer to what was never asked
  kWrongDirection,
  kDataOrder,
  kDataRange,
  kLastFlag,
  kR2tEmpty,
  kR2tOrder,
  kR2tRange,
  kR2tInCapsule,  ///< R2T for data that went with the capsule
  kR2tLimit,
  kDataMissing,  ///< success, but not all data has moved
  // The controller's own words.
  kTerminated,
};

struct PduFault {
  PduFaultReason reason = PduFaultReason::kUnexpectedType;
  std::uint8_t pdu_type = 0;
  std::uint16_t cid = 0;
  std::uint64_t value = 0;     ///< what was there; the FES for kTerminated
  std::uint64_t expected = 0;  ///< what should have been there, or the limit; FEI for kTerminated
};

/// A sentence: what the controller did.
std::string pdu_fault_text(const PduFault& fault);

/// The termination request that tells the controller; not for kTerminated.
spec::TermReq make_termination_request(const PduFault& fault);

/// "CapsuleResp" and so on; the number for types that the specification does not have.
std::string pdu_type_name(std::uint8_t pdu_type);

}  // namespace nvublk::nvme::tcp
