#pragma once

// Log pages. [Base 2.1 §5.1.12]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"
#include "nvme/spec/fabrics.h"
#include "nvme/spec/status.h"

namespace nvublk::nvme::spec {

/// Log Page Identifier. [Base 2.1 §5.1.12]
enum class LogPage : std::uint8_t {
  kSupportedLogPages = 0x00,
  kErrorInformation = 0x01,
  kSmartHealth = 0x02,
  kFirmwareSlot = 0x03,
  kChangedNamespaceList = 0x04,
  kCommandEffects = 0x05,
  kDeviceSelfTest = 0x06,
  kTelemetryHost = 0x07,
  kTelemetryController = 0x08,
  kEnduranceGroup = 0x09,
  kPredictableLatencySet = 0x0a,
  kPredictableLatencyAggregate = 0x0b,
  kAna = 0x0c,
  kPersistentEvent = 0x0d,
  kLbaStatus = 0x0e,
  kEnduranceGroupEvents = 0x0f,
  kMediaUnitStatus = 0x10,
  kSupportedCapacityConfig = 0x11,
  kFeatureEffects = 0x12,
  kMiCommandEffects = 0x13,
  kBootPartition = 0x15,
  kFdpConfigurations = 0x20,
  kFdpUsage = 0x21,
  kFdpStatistics = 0x22,
  kFdpEvents = 0x23,
  kDiscovery = 0x70,
  kReservationNotification = 0x80,
  kSanitizeStatus = 0x81,
  kChangedZoneList = 0xbf,
};

/// Supported Log Pages, LID 00h. [Base 2.1 §5.1.12]
struct SupportedLogPagesLog {
  std::array<Le32, 256> lids{};  ///< by log page identifier; LSUPP in bit 0

  /// Whether the page is there.
  constexpr bool supports(LogPage page) const {
    return (lids[static_cast<std::size_t>(page)].get() & 1) != 0;
  }
};

static_assert(sizeof(SupportedLogPagesLog) == 1024);
static_assert(std::is_trivially_copyable_v<SupportedLogPagesLog>);

/// One entry of Error Information, LID 01h; newest first. [Base 2.1 §5.1.12]
struct ErrorLogEntry {
  Le64 error_count;               ///< 0: the entry is empty
  Le16 sqid;                      ///< of the command; FFFFh: no particular one
  Le16 cid;                       ///< of the command; FFFFh: no particular one
  Le16 status_field;              ///< as in the CQE: phase in bit 0, status above
  Le16 parameter_error_location;  ///< byte in bits 7:0 and bit in bits 10:8 of the command; FFFFh:
                                  ///< none
  Le64 lba;                       ///< first block with the error
  Le32 nsid;                      ///< of the command
  std::uint8_t vendor_information = 0;  ///< a log page of the vendor with more; 0: none
  std::uint8_t trtype = 0;              ///< of the transport, for `transport_information`
  std::uint8_t csi = 0;                 ///< the command set, from log page version 1 on
  std::uint8_t opcode = 0;              ///< of the command, from log page version 1 on
  Le64 command_specific;                ///< as the status says
  Le16 transport_information;           ///< as `trtype` says
  std::array<std::uint8_t, 21> reserved42{};
  std::uint8_t log_page_version = 0;  ///< 1: `csi` and `opcode` are there

  /// How the command ended.
  constexpr NvmeStatus status() const {
    return NvmeStatus::from_bits(static_cast<std::uint16_t>(status_field.get() >> 1));
  }
};

static_assert(sizeof(ErrorLogEntry) == 64);
static_assert(offsetof(ErrorLogEntry, sqid) == 8 && offsetof(ErrorLogEntry, cid) == 10);
static_assert(offsetof(ErrorLogEntry, status_field) == 12);
static_assert(offsetof(ErrorLogEntry, parameter_error_location) == 14);
static_assert(offsetof(ErrorLogEntry, lba) == 16 && offsetof(ErrorLogEntry, nsid) == 24);
static_assert(offsetof(ErrorLogEntry, command_specific) == 32);
static_assert(std::is_trivially_copyable_v<ErrorLogEntry>);

/// SMART / Health Information, LID 02h. [Base 2.1 §5.1.12]
struct SmartLog {
  std::uint8_t critical_warning = 0;  ///< one bit each for spare, temperature, reliability, read
                                      ///< only, backup and persistent memory
  Le16 composite_temperature_kelvin;  ///< of the controller
  std::uint8_t available_spare_percent = 0;            ///< what is left
  std::uint8_t available_spare_threshold_percent = 0;  ///< below which critical_warning says so
  std::uint8_t percentage_used = 0;  ///< of the life that the vendor expects; may be above 100
  /// One bit each for spare, reliability and read only of the endurance groups.
  std::uint8_t endurance_group_critical_warning = 0;
  std::array<std::uint8_t, 25> reserved7{};
  Le128 data_units_read;               ///< thousands of 512 bytes
  Le128 data_units_written;            ///< thousands of 512 bytes
  Le128 host_read_commands;            ///< completed
  Le128 host_write_commands;           ///< completed
  Le128 controller_busy_time_minutes;  ///< with I/O commands outstanding
  Le128 power_cycles;                  ///< since it was made
  Le128 power_on_hours;                ///< powered on, low power states perhaps not counted
  Le128 unsafe_shutdowns;              ///< power was lost without a shutdown
  Le128 media_errors;                  ///< unrecovered data integrity errors
  Le128 error_log_entries;             ///< ever written to the error information log
  Le32 warning_temperature_minutes;    ///< at or above the warning threshold (WCTEMP)
  Le32 critical_temperature_minutes;   ///< at or above the critical threshold (CCTEMP)
  std::array<Le16, 8> temperature_sensor_kelvin{};  ///< 0: there is no such sensor
  ///@{
  /// How often the controller throttled for thermal management temperature 1 and 2, and for how
  /// long in all.
  Le32 thermal_transition_1_count;
  Le32 thermal_transition_2_count;
  Le32 thermal_transition_1_seconds;
  Le32 thermal_transition_2_seconds;
  ///@}
  std::array<std::uint8_t, 280> reserved232{};
};

static_assert(sizeof(SmartLog) == 512);
static_assert(offsetof(SmartLog, composite_temperature_kelvin) == 1);
static_assert(offsetof(SmartLog, available_spare_percent) == 3);
static_assert(offsetof(SmartLog, percentage_used) == 5);
static_assert(offsetof(SmartLog, data_units_read) == 32);
static_assert(offsetof(SmartLog, power_cycles) == 112);
static_assert(offsetof(SmartLog, media_errors) == 160);
static_assert(offsetof(SmartLog, warning_temperature_minutes) == 192);
static_assert(offsetof(SmartLog, temperature_sensor_kelvin) == 200);
static_assert(offsetof(SmartLog, thermal_transition_1_count) == 216);
static_assert(std::is_trivially_copyable_v<SmartLog>);

/// Firmware Slot Information, LID 03h. [Base 2.1 §5.1.12]
struct FirmwareSlotLog {
  std::uint8_t afi = 0;  ///< see below
  std::array<std::uint8_t, 7> reserved1{};
  std::array<std::array<char, 8>, 7> revision{};  ///< slots 1 to 7
  std::array<std::uint8_t, 448> reserved64{};

  /// AFI bits 2:0: the slot that runs.
  constexpr std::uint32_t active_slot() const { return afi & 0x7u; }
  /// The slot of the next reset; 0: no change is pending.
  constexpr std::uint32_t next_slot() const { return (afi >> 4) & 0x7u; }
};

static_assert(sizeof(FirmwareSlotLog) == 512);
static_assert(offsetof(FirmwareSlotLog, revision) == 8);
static_assert(std::is_trivially_copyable_v<FirmwareSlotLog>);

/// Changed Attached Namespace List, LID 04h: padded with 0; reading it clears it.
/// [Base 2.1 §5.1.12]
struct ChangedNamespaceListLog {
  std::array<Le32, 1024> nsid{};  ///< 0: there are no more

  /// More changed than there is room for: look at all namespaces.
  constexpr bool overflowed() const { return nsid[0].get() == 0xffffffff; }
};

static_assert(sizeof(ChangedNamespaceListLog) == 4096);
static_assert(std::is_trivially_copyable_v<ChangedNamespaceListLog>);

/// Commands Supported and Effects, LID 05h; indexed by opcode. [Base 2.1 §5.1.12]
struct CommandEffectsLog {
  ///@{
  /// By opcode; CSUPP in bit 0, effects above.
  std::array<Le32, 256> admin{};
  std::array<Le32, 256> io{};
  ///@}
  std::array<std::uint8_t, 2048> reserved2048{};

  ///@{
  /// Bits of an entry: CSUPP, LBCC, NCC, NIC and CCC.
  static constexpr std::uint32_t kSupported = 1u << 0;
  static constexpr std::uint32_t kBlockContentChange = 1u << 1;
  static constexpr std::uint32_t kNamespaceCapabilityChange = 1u << 2;
  static constexpr std::uint32_t kNamespaceInventoryChange = 1u << 3;
  static constexpr std::uint32_t kControllerCapabilityChange = 1u << 4;
  /// CSE 010b: no other command to any namespace may be outstanding.
  static constexpr std::uint32_t kNoOtherCommands = 2u << 16;
  ///@}
};

static_assert(sizeof(CommandEffectsLog) == 4096);
static_assert(offsetof(CommandEffectsLog, io) == 1024);
static_assert(std::is_trivially_copyable_v<CommandEffectsLog>);

/// Asymmetric Namespace Access state. [Base 2.1 §5.1.12]
enum class AnaState : std::uint8_t {
  kOptimized = 0x1,
  kNonOptimized = 0x2,
  kInaccessible = 0x3,
  kPersistentLoss = 0x4,
  kChange = 0xf,
};

/// The head of the ANA log, LID 0Ch; `ngrps` group descriptors of varying length follow.
/// [Base 2.1 §5.1.12]
struct AnaLogHeader {
  Le64 change_count;  ///< grows with each change of any group
  Le16 ngrps;         ///< groups that follow
  std::array<std::uint8_t, 6> reserved10{};
};

static_assert(sizeof(AnaLogHeader) == 16);
static_assert(offsetof(AnaLogHeader, ngrps) == 8);
static_assert(std::is_trivially_copyable_v<AnaLogHeader>);

/// The head of one group; `nnsids` ids of 4 bytes follow. [Base 2.1 §5.1.12]
struct AnaGroupDescriptor {
  Le32 grpid;                   ///< ANAGRPID
  Le32 nnsids;                  ///< NSIDs that follow
  Le64 change_count;            ///< grows with each change of the group
  std::uint8_t state_byte = 0;  ///< the state, in bits 3:0
  std::array<std::uint8_t, 15> reserved17{};

  /// The state of all namespaces of the group.
  constexpr AnaState state() const { return static_cast<AnaState>(state_byte & 0xf); }
};

static_assert(sizeof(AnaGroupDescriptor) == 32);
static_assert(offsetof(AnaGroupDescriptor, nnsids) == 4);
static_assert(offsetof(AnaGroupDescriptor, change_count) == 8);
static_assert(offsetof(AnaGroupDescriptor, state_byte) == 16);
static_assert(std::is_trivially_copyable_v<AnaGroupDescriptor>);

/// TRTYPE of discovery entries. [Base 2.1 §5.1.12]
enum class TransportTypeCode : std::uint8_t {
  kRdma = 0x01,
  kFibreChannel = 0x02,
  kTcp = 0x03,
  kIntraHost = 0xfe,
};

/// ADRFAM of discovery entries. [Base 2.1 §5.1.12]
enum class AddressFamilyCode : std::uint8_t {
  kIpv4 = 0x01,
  kIpv6 = 0x02,
  kInfiniBand = 0x03,
  kFibreChannel = 0x04,
  kIntraHost = 0xfe,
};

/// SUBTYPE of discovery entries. [Base 2.1 §5.1.12]
enum class SubsystemType : std::uint8_t {
  kReferral = 0x01,          ///< another discovery subsystem
  kNvme = 0x02,              ///< a subsystem with namespaces
  kCurrentDiscovery = 0x03,  ///< the discovery subsystem that answers
};

/// SECTYPE, byte 0 of TSAS of a TCP entry. [TCP 1.1 §3.1]
enum class TcpSecurityType : std::uint8_t { kNone = 0, kTls12 = 1, kTls13 = 2 };

/// One record of the discovery log. Text fields are padded with spaces or NULs.
/// [Base 2.1 §5.1.12]
struct DiscoveryLogEntry {
  std::uint8_t trtype = 0;   ///< a TransportTypeCode
  std::uint8_t adrfam = 0;   ///< an AddressFamilyCode
  std::uint8_t subtype = 0;  ///< a SubsystemType
  std::uint8_t treq = 0;     ///< transport requirements; see the accessors
  Le16 portid;               ///< of the subsystem
  Le16 cntlid;               ///< of the controller; kCntlidDynamic or kCntlidStaticAny: any
  Le16 asqsz;                ///< largest admin queue, in entries
  Le16 eflags;               ///< entry flags; see the accessors
  std::array<std::uint8_t, 20> reserved12{};
  std::array<char, 32> trsvcid{};  ///< service: a port number
  std::array<std::uint8_t, 192> reserved64{};
  std::array<char, kNqnFieldBytes> subnqn{};  ///< NQN, NUL terminated
  std::array<char, 256> traddr{};             ///< address, in the form of the family
  std::array<std::uint8_t, 256> tsas{};       ///< specific to the transport type

  /// treq bits 1:0: 0 not specified, 1 secure channel required, 2 not required.
  constexpr std::uint32_t secure_channel() const { return treq & 0x3u; }
  /// treq bit 2: SQ flow control can be disabled.
  constexpr bool may_disable_sq_flow_control() const { return (treq & (1u << 2)) != 0; }
  /// eflags bit 0: the same information comes from other ports too.
  constexpr bool duplicate_information() const { return (eflags.get() & (1u << 0)) != 0; }
  /// eflags bit 1: connections to this discovery subsystem may stay.
  constexpr bool explicit_persistent_connection() const { return (eflags.get() & (1u << 1)) != 0; }
};

static_assert(sizeof(DiscoveryLogEntry) == 1024);
static_assert(offsetof(DiscoveryLogEntry, portid) == 4);
static_assert(offsetof(DiscoveryLogEntry, cntlid) == 6);
static_assert(offsetof(DiscoveryLogEntry, asqsz) == 8);
static_assert(offsetof(DiscoveryLogEntry, eflags) == 10);
static_assert(offsetof(DiscoveryLogEntry, trsvcid) == 32);
static_assert(offsetof(DiscoveryLogEntry, subnqn) == 256);
static_assert(offsetof(DiscoveryLogEntry, traddr) == 512);
static_assert(offsetof(DiscoveryLogEntry, tsas) == 768);
static_assert(std::is_trivially_copyable_v<DiscoveryLogEntry>);

/// The head of the discovery log, LID 70h; `numrec` entries follow. [Base 2.1 §5.1.12]
struct DiscoveryLogHeader {
  Le64 genctr;  ///< grows with each change of the log
  Le64 numrec;  ///< records that follow
  Le16 recfmt;  ///< 0
  std::array<std::uint8_t, 1006> reserved18{};
};

static_assert(sizeof(DiscoveryLogHeader) == 1024);
static_assert(offsetof(DiscoveryLogHeader, numrec) == 8);
static_assert(offsetof(DiscoveryLogHeader, recfmt) == 16);
static_assert(std::is_trivially_copyable_v<DiscoveryLogHeader>);

}  // namespace nvublk::nvme::spec
