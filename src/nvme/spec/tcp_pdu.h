#pragma once

// NVMe/TCP protocol data units. [TCP 1.1 §3.6]
//
//   connection := ICReq ICResp { host-pdu | controller-pdu }      the host speaks first
//   host-pdu       := CapsuleCmd | H2CData | H2CTermReq
//   controller-pdu := CapsuleResp | C2HData | R2T | C2HTermReq
//
//   pdu    := CH PSH [ HDGST ] [ PAD ] [ DATA ] [ DDGST ]
//   CH     := 8 bytes: type, flags, HLEN, PDO, PLEN
//   HLEN   =  sizeof(CH) + sizeof(PSH), fixed for each type; without HDGST
//   HDGST  =  CRC32C of CH and PSH, when negotiated and HDGSTF is set; never in ICReq, ICResp and
//   the
//             termination requests
//   PDO    =  offset of DATA from the start of the PDU, 0 when there is no data; a multiple of the
//             receiver's alignment (HPDA of the host, CPDA of the controller)
//   DDGST  =  CRC32C of DATA, when negotiated and DDGSTF is set; only after DATA
//   PLEN   =  length of all of the PDU, including pad and digests
//
//   read   := CapsuleCmd, C2HData* (the last with LAST_PDU), CapsuleResp or SUCCESS in the last
//   C2HData write  := CapsuleCmd with data in the capsule, or { R2T, H2CData* (the last with
//   LAST_PDU) }*;
//             CapsuleResp

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"
#include "nvme/spec/cqe.h"
#include "nvme/spec/sqe.h"

namespace nvublk::nvme::spec {

inline constexpr std::uint16_t kNvmeIoPort = 4420;
inline constexpr std::uint16_t kNvmeTcpDiscoveryPort = 8009;

/// The type byte. Even types come from the host, odd ones from the controller. [TCP 1.1 §3.6.2]
enum class PduType : std::uint8_t {
  kIcReq = 0x00,
  kIcResp = 0x01,
  kH2cTermReq = 0x02,
  kC2hTermReq = 0x03,
  kCapsuleCmd = 0x04,
  kCapsuleResp = 0x05,
  kH2cData = 0x06,
  kC2hData = 0x07,
  kR2t = 0x09,
};

/// Bits of the flags byte. [TCP 1.1 §3.6.2.1]
inline constexpr std::uint8_t kPduHdgstf = 1 << 0;   ///< a header digest follows the header
inline constexpr std::uint8_t kPduDdgstf = 1 << 1;   ///< a data digest follows the data
inline constexpr std::uint8_t kPduLastPdu = 1 << 2;  ///< H2CData, C2HData: last of this transfer
inline constexpr std::uint8_t kPduSuccess = 1 << 3;  ///< C2HData: succeeded, no CapsuleResp follows

inline constexpr std::size_t kDigestBytes = 4;
/// The smallest MAXH2CDATA a controller may offer, in bytes. [TCP 1.1 §3.6.2.3]
inline constexpr std::uint32_t kMinMaxH2cData = 4096;
/// HPDA and CPDA have the values 0 to 31: alignments of 4 to 128 bytes. [TCP 1.1 §3.6.2.2]
inline constexpr std::uint8_t kMaxPduDataAlignment = 31;
/// The largest PDO that a conforming sender can produce.
inline constexpr std::uint32_t kMaxPduDataOffset = 128;
/// Data that every admin queue and the Fabrics commands may carry in a capsule. [TCP 1.1 §3.3]
inline constexpr std::uint32_t kAdminInCapsuleBytes = 8192;
/// The only PDU format version. [TCP 1.1 §3.6.2.2]
inline constexpr std::uint16_t kPduFormatVersion = 0;

/// HPDA or CPDA (0's based dwords) in bytes: 4 to 128.
constexpr std::uint32_t pdu_data_alignment_bytes(std::uint8_t field) {
  return (field + 1u) * 4;
}

/// CH: first in every PDU. [TCP 1.1 §3.6.2.1]
struct CommonHeader {
  std::uint8_t pdu_type = 0;
  std::uint8_t flags = 0;
  std::uint8_t hlen = 0;  ///< bytes of CH and PSH
  std::uint8_t pdo = 0;   ///< offset of the data from the start of the PDU; 0: none
  Le32 plen;              ///< bytes in the PDU, everything included

  constexpr PduType type() const { return static_cast<PduType>(pdu_type); }
  constexpr bool has_header_digest() const { return (flags & kPduHdgstf) != 0; }
  constexpr bool has_data_digest() const { return (flags & kPduDdgstf) != 0; }
  constexpr bool is_last() const { return (flags & kPduLastPdu) != 0; }
  constexpr bool is_success() const { return (flags & kPduSuccess) != 0; }
};

static_assert(sizeof(CommonHeader) == 8);
static_assert(offsetof(CommonHeader, flags) == 1 && offsetof(CommonHeader, hlen) == 2);
static_assert(offsetof(CommonHeader, pdo) == 3 && offsetof(CommonHeader, plen) == 4);
static_assert(std::is_trivially_copyable_v<CommonHeader>);

/// Bits of the digest byte of ICReq and ICResp. [TCP 1.1 §3.6.2.2]
inline constexpr std::uint8_t kHeaderDigestEnable = 1 << 0;
inline constexpr std::uint8_t kDataDigestEnable = 1 << 1;

/// Initialize Connection Request. [TCP 1.1 §3.6.2.2]
struct IcReq {
  CommonHeader ch{static_cast<std::uint8_t>(PduType::kIcReq), 0, 128, 0, Le32{128}};
  Le16 pfv;
  std::uint8_t hpda = 0;  ///< alignment of data sent to the host, 0's based dwords
  std::uint8_t dgst = 0;
  Le32 maxr2t;  ///< R2Ts outstanding for one command, 0's based
  std::array<std::uint8_t, 112> reserved16{};

  constexpr std::uint64_t max_r2t_count() const { return maxr2t.get() + 1ull; }
};

static_assert(sizeof(IcReq) == 128);
static_assert(offsetof(IcReq, pfv) == 8 && offsetof(IcReq, hpda) == 10);
static_assert(offsetof(IcReq, dgst) == 11 && offsetof(IcReq, maxr2t) == 12);
static_assert(std::is_trivially_copyable_v<IcReq>);

/// Initialize Connection Response. [TCP 1.1 §3.6.2.3]
struct IcResp {
  CommonHeader ch{static_cast<std::uint8_t>(PduType::kIcResp), 0, 128, 0, Le32{128}};
  Le16 pfv;
  std::uint8_t cpda = 0;  ///< alignment of data sent to the controller, 0's based dwords
  std::uint8_t dgst = 0;
  Le32 maxh2cdata;  ///< bytes of data in one H2CData, at least kMinMaxH2cData
  std::array<std::uint8_t, 112> reserved16{};
};

static_assert(sizeof(IcResp) == 128);
static_assert(offsetof(IcResp, pfv) == 8 && offsetof(IcResp, cpda) == 10);
static_assert(offsetof(IcResp, dgst) == 11 && offsetof(IcResp, maxh2cdata) == 12);
static_assert(std::is_trivially_copyable_v<IcResp>);

/// Fatal Error Status of a termination request. 05h has two names: the direction says which.
/// [TCP 1.1 §3.6.2.4, §3.6.2.5]
enum class FatalErrorStatus : std::uint16_t {
  kInvalidHeaderField = 0x01,      ///< FEI: offset of the field in the header
  kPduSequenceError = 0x02,        ///< a PDU that may not come now
  kHeaderDigestError = 0x03,       ///< FEI: the digest that was received
  kDataTransferOutOfRange = 0x04,  ///< data outside of the command's buffer or of the R2T
  kLimitExceeded = 0x05,           ///< C2H: data transfer limit exceeded; H2C: R2T limit exceeded
  kUnsupportedParameter = 0x06,    ///< FEI: offset of the parameter in the header
};

/// A termination request's header; up to 128 bytes of the offending PDU's header follow it as data.
/// Never with digests. [TCP 1.1 §3.6.2.4, §3.6.2.5]
struct TermReq {
  CommonHeader ch;
  Le16 fes;
  Le32 fei;
  std::array<std::uint8_t, 10> reserved14{};

  constexpr FatalErrorStatus status() const { return static_cast<FatalErrorStatus>(fes.get()); }
};

static_assert(sizeof(TermReq) == 24);
static_assert(offsetof(TermReq, fes) == 8 && offsetof(TermReq, fei) == 10);
static_assert(std::is_trivially_copyable_v<TermReq>);

inline constexpr std::uint32_t kTermReqMaxDataBytes = 128;
inline constexpr std::uint32_t kTermReqMaxBytes = 24 + kTermReqMaxDataBytes;

/// A command capsule; data may follow in the capsule. [TCP 1.1 §3.6.2.6]
struct CapsuleCmd {
  CommonHeader ch{static_cast<std::uint8_t>(PduType::kCapsuleCmd), 0, 72, 0, Le32{72}};
  SubmissionEntry sqe;
};

static_assert(sizeof(CapsuleCmd) == 72);
static_assert(offsetof(CapsuleCmd, sqe) == 8);
static_assert(std::is_trivially_copyable_v<CapsuleCmd>);

/// A response capsule; never with data. [TCP 1.1 §3.6.2.7]
struct CapsuleResp {
  CommonHeader ch{static_cast<std::uint8_t>(PduType::kCapsuleResp), 0, 24, 0, Le32{24}};
  CompletionEntry cqe;
};

static_assert(sizeof(CapsuleResp) == 24);
static_assert(offsetof(CapsuleResp, cqe) == 8);
static_assert(std::is_trivially_copyable_v<CapsuleResp>);

/// Data from the host, an answer to an R2T. [TCP 1.1 §3.6.2.8]
struct H2cData {
  CommonHeader ch{static_cast<std::uint8_t>(PduType::kH2cData), 0, 24, 0, Le32{24}};
  Le16 cccid;
  Le16 ttag;   ///< of the R2T
  Le32 datao;  ///< offset in the command's data
  Le32 datal;
  std::array<std::uint8_t, 4> reserved20{};
};

static_assert(sizeof(H2cData) == 24);
static_assert(offsetof(H2cData, cccid) == 8 && offsetof(H2cData, ttag) == 10);
static_assert(offsetof(H2cData, datao) == 12 && offsetof(H2cData, datal) == 16);
static_assert(std::is_trivially_copyable_v<H2cData>);

/// Data from the controller. [TCP 1.1 §3.6.2.9]
struct C2hData {
  CommonHeader ch{static_cast<std::uint8_t>(PduType::kC2hData), 0, 24, 0, Le32{24}};
  Le16 cccid;
  std::array<std::uint8_t, 2> reserved10{};
  Le32 datao;  ///< offset in the command's data
  Le32 datal;
  std::array<std::uint8_t, 4> reserved20{};
};

static_assert(sizeof(C2hData) == 24);
static_assert(offsetof(C2hData, cccid) == 8 && offsetof(C2hData, datao) == 12);
static_assert(offsetof(C2hData, datal) == 16);
static_assert(std::is_trivially_copyable_v<C2hData>);

/// Ready To Transfer: the controller asks for a range of a command's data. [TCP 1.1 §3.6.2.10]
struct R2t {
  CommonHeader ch{static_cast<std::uint8_t>(PduType::kR2t), 0, 24, 0, Le32{24}};
  Le16 cccid;
  Le16 ttag;
  Le32 r2to;  ///< offset in the command's data
  Le32 r2tl;  ///< bytes asked for
  std::array<std::uint8_t, 4> reserved20{};
};

static_assert(sizeof(R2t) == 24);
static_assert(offsetof(R2t, cccid) == 8 && offsetof(R2t, ttag) == 10);
static_assert(offsetof(R2t, r2to) == 12 && offsetof(R2t, r2tl) == 16);
static_assert(std::is_trivially_copyable_v<R2t>);

/// HLEN that a PDU of `type` must have, or 0 when the type is not defined. [TCP 1.1 §3.6.2]
constexpr std::uint8_t pdu_header_length(PduType type) {
  switch (type) {
    case PduType::kIcReq:
    case PduType::kIcResp:
      return 128;
    case PduType::kCapsuleCmd:
      return 72;
    case PduType::kH2cTermReq:
    case PduType::kC2hTermReq:
    case PduType::kCapsuleResp:
    case PduType::kH2cData:
    case PduType::kC2hData:
    case PduType::kR2t:
      return 24;
  }
  return 0;
}

/// The longest header of any PDU, in bytes; those with a digest are shorter (72 + 4).
inline constexpr std::size_t kMaxPduHeaderBytes = 128;

}  // namespace nvublk::nvme::spec
