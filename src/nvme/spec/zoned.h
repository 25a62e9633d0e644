#pragma once

// The Zoned Namespace command set. [ZNS 1.2 §3.4, §4.1.5]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"
#include "nvme/spec/identify.h"

namespace nvublk::nvme::spec {

/// Extension of an LBA format. [ZNS 1.2 §4.1.5.1]
struct ZonedLbaFormat {
  Le64 zsze;              ///< blocks from one zone to the next
  std::uint8_t zdes = 0;  ///< zone descriptor extension, in 64 bytes
  std::array<std::uint8_t, 7> reserved9{};
};

/// Identify Namespace, CNS 05h CSI 2. [ZNS 1.2 §4.1.5.1]
struct IdentifyNamespaceZoned {
  Le16 zoc;   ///< zone operation characteristics
  Le16 ozcs;  ///< optional zoned command support
  Le32 mar;   ///< 0's based, FFFFFFFFh: no limit
  Le32 mor;   ///< likewise
  Le32 rrl;   ///< reset recommended limit, seconds
  Le32 frl;   ///< finish recommended limit, seconds
  std::array<std::uint8_t, 2796> reserved20{};
  std::array<ZonedLbaFormat, kMaxLbaFormats> lbafe{};  ///< by LBA format
  std::array<std::uint8_t, 256> vendor{};              ///< the vendor's

  /// OZCS bit 0: reads may cross zones.
  constexpr bool reads_across_zones() const { return (ozcs.get() & 1) != 0; }
  /// ZOC bit 0: zone capacities may change.
  constexpr bool variable_capacity() const { return (zoc.get() & 1) != 0; }
  /// MAR and MOR converted; 0: no limit.
  constexpr std::uint32_t max_active_zones() const { return mar.get() + 1; }
  /// See max_active_zones().
  constexpr std::uint32_t max_open_zones() const { return mor.get() + 1; }
};

/// Identify Controller, CNS 06h CSI 2. [ZNS 1.2 §4.1.5.2]
struct IdentifyControllerZoned {
  std::uint8_t zasl = 0;  ///< log2 of units of the minimum page; 0: MDTS holds
  std::array<std::uint8_t, 4095> reserved1{};

  /// ZASL converted with CAP.MPSMIN, or kNoLimit.
  constexpr std::uint64_t append_limit_bytes(std::uint64_t min_page_bytes) const {
    return zasl == 0 || zasl >= 32 ? kNoLimit : min_page_bytes << zasl;
  }
};

/// ZS. [ZNS 1.2 §2.1.1]
enum class ZoneState : std::uint8_t {
  kEmpty = 0x1,
  kImplicitlyOpen = 0x2,
  kExplicitlyOpen = 0x3,
  kClosed = 0x4,
  kReadOnly = 0xd,
  kFull = 0xe,
  kOffline = 0xf,
};

inline constexpr std::uint8_t kSequentialWriteRequired = 2;   ///< ZT
inline constexpr std::uint8_t kZoneExtensionValid = 1u << 7;  ///< ZA: the extension has data

/// [ZNS 1.2 §3.4.2.2.3]
struct ZoneDescriptor {
  std::uint8_t zt = 0;   ///< type; kSequentialWriteRequired
  std::uint8_t zs = 0;   ///< in bits 7:4
  std::uint8_t za = 0;   ///< attributes; kZoneExtensionValid
  std::uint8_t zai = 0;  ///< attributes information: how soon a recommended action should follow
  std::array<std::uint8_t, 4> reserved4{};
  Le64 zcap;   ///< capacity in blocks
  Le64 zslba;  ///< first block
  Le64 wp;     ///< write pointer, an LBA
  std::array<std::uint8_t, 32> reserved32{};

  /// ZS.
  constexpr ZoneState state() const { return static_cast<ZoneState>(zs >> 4); }
  /// Writes ZS.
  constexpr void set_state(ZoneState state) {
    zs = static_cast<std::uint8_t>(static_cast<unsigned>(state) << 4);
  }
};

/// The head of a zone report; descriptors follow, each with its extension if asked for.
/// [ZNS 1.2 §3.4.2.2]
struct ZoneReportHeader {
  Le64 zone_count;  ///< zones that match, or of a partial report descriptors that follow
  std::array<std::uint8_t, 56> reserved8{};
};

/// ZSA. [ZNS 1.2 §3.4.3]
enum class ZoneSendAction : std::uint8_t {
  kClose = 0x01,
  kFinish = 0x02,
  kOpen = 0x03,
  kReset = 0x04,
  kOffline = 0x05,
  kSetExtension = 0x10,
};
inline constexpr std::uint32_t kZoneSelectAll = 1u << 8;  ///< cdw13 of Zone Management Send

/// ZRA. [ZNS 1.2 §3.4.2]
enum class ZoneReceiveAction : std::uint8_t { kReport = 0, kExtendedReport = 1 };

/// Which zones are reported: ZRASF. [ZNS 1.2 §3.4.2]
enum class ZoneReportOption : std::uint8_t {
  kAll = 0,
  kEmpty = 1,
  kImplicitlyOpen = 2,
  kExplicitlyOpen = 3,
  kClosed = 4,
  kFull = 5,
  kReadOnly = 6,
  kOffline = 7,
};
/// Partial Report, cdw13: the count is that of the descriptors that fit.
inline constexpr std::uint32_t kZonePartialReport = 1u << 16;

/// PIREMAP, cdw12 of Zone Append: the reference tag is that of where the data ends up.
/// [ZNS 1.2 §3.4.1]
inline constexpr std::uint32_t kAppendRemapsReferenceTag = 1u << 25;

static_assert(sizeof(ZonedLbaFormat) == 16);
static_assert(sizeof(IdentifyNamespaceZoned) == kIdentifyBytes);
static_assert(offsetof(IdentifyNamespaceZoned, lbafe) == 2816);
static_assert(offsetof(IdentifyNamespaceZoned, vendor) == 3840);
static_assert(sizeof(IdentifyControllerZoned) == kIdentifyBytes);
static_assert(sizeof(ZoneDescriptor) == 64);
static_assert(offsetof(ZoneDescriptor, zcap) == 8 && offsetof(ZoneDescriptor, wp) == 24);
static_assert(sizeof(ZoneReportHeader) == 64);
static_assert(std::is_trivially_copyable_v<ZoneDescriptor>);

}  // namespace nvublk::nvme::spec
