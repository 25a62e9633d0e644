#pragma once

// What a PDU from a host must look like. Pure functions.

#include <cstdint>
#include <expected>

#include "nvme/spec/tcp_pdu.h"

namespace nvublk::target {

/// What ICReq and ICResp settled for a connection.
struct Negotiated {
  bool header_digest = false;
  bool data_digest = false;
  std::uint32_t host_alignment = 4;        ///< bytes, of data that we send
  std::uint32_t controller_alignment = 4;  ///< bytes, of data that the host sends
  std::uint32_t max_h2c_bytes = nvme::spec::kMinMaxH2cData;
  std::uint32_t in_capsule_bytes = nvme::spec::kAdminInCapsuleBytes;
};

/// Why a connection must be terminated. [TCP 1.1 §3.6.2.5]
struct PduError {
  nvme::spec::FatalErrorStatus fes = nvme::spec::FatalErrorStatus::kInvalidHeaderField;
  std::uint32_t fei = 0;
};

/// Where things are in a PDU whose common header was found good. All in bytes.
struct PduShape {
  std::uint32_t header_length = 0;  ///< without the digest
  std::uint32_t data_offset = 0;    ///< where data begins; the PDU's length when there is none
  std::uint32_t data_length = 0;
  std::uint32_t total_length = 0;
  bool header_digest = false;
  bool data_digest = false;
};

/// Checks the common header of a PDU that a host sent; ICReq must be the first one.
std::expected<PduShape, PduError> check_common_header(const nvme::spec::CommonHeader& ch,
                                                      const Negotiated& negotiated, bool first);

/// What is outstanding of the R2T that an H2CData PDU answers.
struct OpenR2t {
  std::uint16_t cid = 0;
  std::uint32_t next_offset = 0;
  std::uint32_t end_offset = 0;
};

/// Checks an H2CData PDU against the R2T that its TTAG names. [TCP 1.1 §3.6.2.8]
std::expected<void, PduError> check_h2c_data(const nvme::spec::H2cData& pdu, const PduShape& shape,
                                             const OpenR2t& r2t);

}  // namespace nvublk::target
