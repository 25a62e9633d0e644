#pragma once

// The data structures of Identify. Every one has 4096 bytes. [Base 2.1 §5.1.13] [NVM 1.1 §4.1.5]

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "engine/endian.h"
#include "nvme/spec/fabrics.h"

namespace nvublk::nvme::spec {

inline constexpr std::size_t kIdentifyBytes = 4096;  ///< of each structure
/// What size accessors return when the device names no limit.
inline constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

/// Controller or Namespace Structure: what Identify returns. [Base 2.1 §5.1.13]
enum class IdentifyCns : std::uint8_t {
  kNamespace = 0x00,
  kController = 0x01,
  kActiveNamespaceList = 0x02,
  kNamespaceDescriptors = 0x03,
  kNvmSetList = 0x04,
  kCommandSetNamespace = 0x05,
  kCommandSetController = 0x06,
  kCommandSetActiveNamespaceList = 0x07,
  kIndependentNamespace = 0x08,
  kAllocatedNamespaceList = 0x10,
  kAllocatedNamespace = 0x11,
  kNamespaceControllerList = 0x12,
  kControllerList = 0x13,
  kPrimaryControllerCapabilities = 0x14,
  kSecondaryControllerList = 0x15,
  kNamespaceGranularityList = 0x16,
  kUuidList = 0x17,
  kDomainList = 0x18,
  kEnduranceGroupList = 0x19,
  kCommandSetAllocatedNamespaceList = 0x1a,
  kCommandSetAllocatedNamespace = 0x1b,
  kCommandSets = 0x1c,
};

/// CNTRLTYPE. [Base 2.1 §5.1.13]
enum class ControllerType : std::uint8_t {
  kNotReported = 0,
  kIo = 1,
  kDiscovery = 2,
  kAdministrative = 3,
};

/// What a power state needs and how fast it is. [Base 2.1 §5.1.13]
struct PowerStateDescriptor {
  Le16 mp;  ///< maximum power, in hundredths of a watt, or as MXPS says
  std::uint8_t reserved2 = 0;
  std::uint8_t flags = 0;  ///< MXPS in bit 0, NOPS in bit 1
  Le32 enlat;              ///< microseconds
  Le32 exlat;              ///< microseconds
  std::uint8_t rrt = 0;    ///< relative read throughput; lower is better
  std::uint8_t rrl = 0;    ///< relative read latency; lower is better
  std::uint8_t rwt = 0;    ///< relative write throughput; lower is better
  std::uint8_t rwl = 0;    ///< relative write latency; lower is better
  Le16 idlp;               ///< idle power, in units of idle_scale()
  std::uint8_t ips = 0;    ///< scale of idlp in bits 7:6
  std::uint8_t reserved19 = 0;
  Le16 actp;              ///< active power, in units of active_scale()
  std::uint8_t apws = 0;  ///< workload in bits 2:0, scale of actp in bits 7:6
  std::array<std::uint8_t, 9> reserved23{};

  /// MXPS: `mp` counts tenths of a milliwatt.
  constexpr bool fine_scale() const { return (flags & 1) != 0; }
  /// NOPS: the controller takes no I/O commands in this state.
  constexpr bool non_operational() const { return (flags & 2) != 0; }
  /// APW: the workload that actp was measured with.
  constexpr std::uint32_t workload() const { return apws & 0x7u; }
  /// Of idlp and actp: 0 not reported, 1 tenths of a milliwatt, 2 hundredths of a watt.
  constexpr std::uint32_t idle_scale() const { return ips >> 6; }
  /// As idle_scale(), of actp.
  constexpr std::uint32_t active_scale() const { return apws >> 6; }
};

static_assert(sizeof(PowerStateDescriptor) == 32);
static_assert(offsetof(PowerStateDescriptor, enlat) == 4);
static_assert(offsetof(PowerStateDescriptor, rrt) == 12);
static_assert(offsetof(PowerStateDescriptor, idlp) == 16);
static_assert(offsetof(PowerStateDescriptor, actp) == 20);
static_assert(std::is_trivially_copyable_v<PowerStateDescriptor>);

inline constexpr std::uint32_t kMaxPowerStates = 32;  ///< places for descriptors

/// Identify Controller, CNS 01h. [Base 2.1 §5.1.13]
struct IdentifyController {
  Le16 vid;                            ///< PCI vendor id
  Le16 ssvid;                          ///< PCI subsystem vendor id
  std::array<char, 20> sn{};           ///< serial number, padded with spaces
  std::array<char, 40> mn{};           ///< model number, padded with spaces
  std::array<char, 8> fr{};            ///< firmware revision, padded with spaces
  std::uint8_t rab = 0;                ///< recommended arbitration burst, log2 of commands
  std::array<std::uint8_t, 3> ieee{};  ///< OUI of the vendor, lowest byte first
  std::uint8_t cmic = 0;  ///< how many ports and controllers the subsystem may have; ANA in bit 3
  std::uint8_t mdts = 0;  ///< largest transfer, log2 of units of the minimum page; 0: no limit
  Le16 cntlid;            ///< controller id in the subsystem
  Le32 ver;               ///< as in VS
  Le32 rtd3r;             ///< microseconds
  Le32 rtd3e;             ///< microseconds
  Le32 oaes;              ///< bits as in Asynchronous Event Configuration
  Le32 ctratt;            ///< controller attributes
  Le16 rrls;              ///< read recovery levels that there are, one bit each
  std::array<std::uint8_t, 9> reserved102{};
  std::uint8_t cntrltype = 0;            ///< a ControllerType
  std::array<std::uint8_t, 16> fguid{};  ///< FRU GUID; zeroes: not reported
  Le16 crdt1;                            ///< command retry delay 1, in 100 ms
  Le16 crdt2;                            ///< command retry delay 2, in 100 ms
  Le16 crdt3;                            ///< command retry delay 3, in 100 ms
  std::array<std::uint8_t, 119> reserved134{};
  std::uint8_t nvmsr = 0;   ///< whether the subsystem is a drive or an enclosure
  std::uint8_t vwci = 0;    ///< VPD write cycles
  std::uint8_t mec = 0;     ///< management endpoints
  Le16 oacs;                ///< optional admin commands
  std::uint8_t acl = 0;     ///< 0's based
  std::uint8_t aerl = 0;    ///< 0's based
  std::uint8_t frmw = 0;    ///< firmware slots, and whether activation needs a reset
  std::uint8_t lpa = 0;     ///< what log pages there are
  std::uint8_t elpe = 0;    ///< 0's based
  std::uint8_t npss = 0;    ///< 0's based
  std::uint8_t avscc = 0;   ///< bit 0: vendor specific admin commands have the standard format
  std::uint8_t apsta = 0;   ///< bit 0: autonomous power state transitions
  Le16 wctemp;              ///< warning temperature threshold in kelvin; 0: not reported
  Le16 cctemp;              ///< critical temperature threshold in kelvin; 0: not reported
  Le16 mtfa;                ///< longest firmware activation, in 100 ms; 0: not reported
  Le32 hmpre;               ///< preferred host memory buffer, in 4 KiB
  Le32 hmmin;               ///< smallest host memory buffer, in 4 KiB
  Le128 tnvmcap;            ///< NVM capacity in all, bytes
  Le128 unvmcap;            ///< NVM capacity that is unallocated, bytes
  Le32 rpmbs;               ///< replay protected memory blocks
  Le16 edstt;               ///< extended self-test, minutes
  std::uint8_t dsto = 0;    ///< self-test options
  std::uint8_t fwug = 0;    ///< firmware update granularity, in 4 KiB; 0: not reported, FFh: any
  Le16 kas;                 ///< keep alive granularity in 100 ms; 0: no keep alive
  Le16 hctma;               ///< bit 0: host controlled thermal management
  Le16 mntmt;               ///< lowest thermal management temperature, kelvin
  Le16 mxtmt;               ///< highest thermal management temperature, kelvin
  Le32 sanicap;             ///< what Sanitize can do
  Le32 hmminds;             ///< smallest piece of the host memory buffer, in 4 KiB
  Le16 hmmaxd;              ///< most pieces of the host memory buffer
  Le16 nsetidmax;           ///< largest NVM set id
  Le16 endgidmax;           ///< largest endurance group id
  std::uint8_t anatt = 0;   ///< seconds
  std::uint8_t anacap = 0;  ///< which ANA states it reports, and what of groups may change
  Le32 anagrpmax;           ///< largest ANA group id
  Le32 nanagrpid;           ///< how many ANA groups there are
  Le32 pels;                ///< largest persistent event log, in 64 KiB
  Le16 domainid;            ///< domain of the controller; 0: there are none
  std::array<std::uint8_t, 10> reserved358{};
  Le128 megcap;  ///< largest endurance group, bytes
  std::array<std::uint8_t, 2> reserved384{};
  Le16 cqt;  ///< Command Quiesce Time in ms; 0: not reported
  std::array<std::uint8_t, 124> reserved388{};
  std::uint8_t sqes = 0;  ///< log2 of bytes: required in 3:0, maximum in 7:4
  std::uint8_t cqes = 0;  ///< as sqes, of completion queue entries
  Le16 maxcmd;            ///< most commands that a queue should hold; 0: not reported
  Le32 nn;                ///< largest NSID
  Le16 oncs;              ///< optional I/O commands
  Le16 fuses;             ///< bit 0: Compare and Write
  std::uint8_t fna = 0;   ///< what Format NVM applies to
  /// Volatile write cache in bit 0, what Flush with NSID FFFFFFFFh does in bits 2:1.
  std::uint8_t vwc = 0;
  Le16 awun;                 ///< 0's based
  Le16 awupf;                ///< 0's based
  std::uint8_t icsvscc = 0;  ///< bit 0: vendor specific I/O commands have the standard format
  std::uint8_t nwpc = 0;     ///< namespace write protection that there is
  Le16 acwu;                 ///< 0's based
  Le16 cdfs;                 ///< copy descriptor formats, one bit each
  Le32 sgls;                 ///< SGL support
  Le32 mnan;                 ///< most namespaces; 0: nn
  Le128 maxdna;              ///< most namespace attachments of a domain
  Le32 maxcna;               ///< most namespaces attached to one I/O controller
  std::array<std::uint8_t, 204> reserved564{};
  std::array<char, kNqnFieldBytes> subnqn{};  ///< NQN of the subsystem, NUL terminated
  std::array<std::uint8_t, 768> reserved1024{};
  Le32 ioccsz;              ///< units of 16 bytes
  Le32 iorcsz;              ///< units of 16 bytes
  Le16 icdoff;              ///< units of 16 bytes
  std::uint8_t fcatt = 0;   ///< bit 0: static controller model
  std::uint8_t msdbd = 0;   ///< most SGL data block descriptors of a command; 0: no limit
  Le16 ofcs;                ///< bit 0: Disconnect
  std::uint8_t dctype = 0;  ///< kind of discovery controller
  std::array<std::uint8_t, 241> reserved1807{};
  std::array<PowerStateDescriptor, kMaxPowerStates> psd{};  ///< power states 0 to npss
  std::array<std::uint8_t, 1024> vendor{};                  ///< the vendor's

  /// CNTRLTYPE.
  constexpr ControllerType type() const { return static_cast<ControllerType>(cntrltype); }

  /// MDTS converted with CAP.MPSMIN: the most data of one command, or kNoLimit.
  constexpr std::uint64_t max_transfer_bytes(std::uint64_t min_page_bytes) const {
    // A shift that would lose bits means more than anybody transfers.
    return mdts == 0 || mdts >= 32 ? kNoLimit : min_page_bytes << mdts;
  }
  /// ACL converted: Abort commands that may be outstanding.
  constexpr std::uint32_t abort_limit_count() const { return acl + 1u; }
  /// AERL converted: Asynchronous Event Requests that may be outstanding.
  constexpr std::uint32_t async_event_limit_count() const { return aerl + 1u; }
  /// ELPE converted: entries of the error information log.
  constexpr std::uint32_t error_log_entry_count() const { return elpe + 1u; }
  /// NPSS converted; never more than there is room for.
  constexpr std::uint32_t power_state_count() const {
    return npss < kMaxPowerStates ? npss + 1u : kMaxPowerStates;
  }
  ///@{
  /// AWUN and AWUPF converted: blocks that are written whole or not at all, in normal operation and
  /// when power fails.
  constexpr std::uint32_t atomic_write_block_count() const { return awun.get() + 1u; }
  constexpr std::uint32_t atomic_write_power_fail_block_count() const { return awupf.get() + 1u; }
  ///@}
  /// KAS converted; 0: keep alive is not supported.
  constexpr std::uint32_t keep_alive_granularity_ms() const { return kas.get() * 100u; }
  /// CRDT1 to CRDT3 converted, for a CRD of 1 to 3; 0 for others.
  constexpr std::uint32_t command_retry_delay_ms(std::uint8_t crd) const {
    return crd == 1 ? crdt1.get() * 100u
                    : (crd == 2 ? crdt2.get() * 100u : (crd == 3 ? crdt3.get() * 100u : 0u));
  }
  /// IOCCSZ converted: data that the capsule of an I/O command carries; 0: none.
  constexpr std::uint64_t in_capsule_data_bytes() const {
    const std::uint64_t capsule_bytes = ioccsz.get() * 16ull;
    return capsule_bytes > kSubmissionEntryBytes ? capsule_bytes - kSubmissionEntryBytes : 0;
  }
  /// IORCSZ converted.
  constexpr std::uint64_t response_capsule_bytes() const { return iorcsz.get() * 16ull; }
  /// ICDOFF converted: where data in a capsule begins, after the SQE.
  constexpr std::uint32_t in_capsule_data_offset_bytes() const { return icdoff.get() * 16u; }

  /// VWC bit 0.
  constexpr bool has_volatile_write_cache() const { return (vwc & 1) != 0; }
  /// VWC.FB is 11b: Flush may name all namespaces at once.
  constexpr bool flush_supports_broadcast_nsid() const { return ((vwc >> 1) & 0x3) == 0x3; }

  ///@{
  /// Bits of ONCS.
  constexpr bool supports_compare() const { return (oncs.get() & (1u << 0)) != 0; }
  constexpr bool supports_write_uncorrectable() const { return (oncs.get() & (1u << 1)) != 0; }
  constexpr bool supports_dataset_management() const { return (oncs.get() & (1u << 2)) != 0; }
  constexpr bool supports_write_zeroes() const { return (oncs.get() & (1u << 3)) != 0; }
  constexpr bool supports_reservations() const { return (oncs.get() & (1u << 5)) != 0; }
  constexpr bool supports_timestamp() const { return (oncs.get() & (1u << 6)) != 0; }
  constexpr bool supports_verify() const { return (oncs.get() & (1u << 7)) != 0; }
  constexpr bool supports_copy() const { return (oncs.get() & (1u << 8)) != 0; }
  ///@}

  /// FUSES bit 0.
  constexpr bool supports_compare_and_write() const { return (fuses.get() & 1) != 0; }

  ///@{
  /// Bits of OACS.
  constexpr bool supports_security() const { return (oacs.get() & (1u << 0)) != 0; }
  constexpr bool supports_format() const { return (oacs.get() & (1u << 1)) != 0; }
  constexpr bool supports_firmware() const { return (oacs.get() & (1u << 2)) != 0; }
  constexpr bool supports_namespace_management() const { return (oacs.get() & (1u << 3)) != 0; }
  constexpr bool supports_doorbell_buffer() const { return (oacs.get() & (1u << 8)) != 0; }
  ///@}

  /// LPA bit 2: Get Log Page takes an offset and a length above 4 KiB.
  constexpr bool supports_extended_log_data() const { return (lpa & (1u << 2)) != 0; }
  /// LPA bit 5: the log pages Supported Log Pages and Feature Identifiers Supported are there.
  constexpr bool supports_supported_logs() const { return (lpa & (1u << 5)) != 0; }
  /// LPA bit 3: the telemetry log pages, and notices of them.
  constexpr bool supports_telemetry() const { return (lpa & (1u << 3)) != 0; }
  /// LPA bit 1: the log page Commands Supported and Effects is there.
  constexpr bool supports_command_effects_log() const { return (lpa & (1u << 1)) != 0; }

  /// CMIC bit 3: Asymmetric Namespace Access.
  constexpr bool supports_ana() const { return (cmic & (1u << 3)) != 0; }
  /// The longest that the ANA log can be; 0: there is none. [Base 2.1 §5.1.12.1.13]
  constexpr std::uint32_t ana_log_bytes() const {
    // More than any target has groups and namespaces for.
    constexpr std::uint64_t kMost = 1u << 20;
    const std::uint64_t namespaces = mnan.get() != 0 ? mnan.get() : nn.get();
    const std::uint64_t bytes = 16 + 32ull * nanagrpid.get() + 4 * namespaces;
    return supports_ana() ? static_cast<std::uint32_t>(bytes < kMost ? bytes : kMost) : 0;
  }
  /// CTRATT bit 0: host identifiers may have 16 bytes.
  constexpr bool supports_128_bit_host_id() const { return (ctratt.get() & (1u << 0)) != 0; }
  /// CTRATT.TBKAS: commands that arrive count as keep alives.
  constexpr bool traffic_based_keep_alive() const { return (ctratt.get() & (1u << 6)) != 0; }
  /// As supports_128_bit_host_id().
  constexpr bool supports_extended_host_id() const { return (ctratt.get() & 1u) != 0; }
  /// CTRATT.ELBAS: more than 16 LBA formats, and longer guards.
  constexpr bool supports_extended_lba_formats() const { return (ctratt.get() & (1u << 15)) != 0; }

  /// SGLS bits 1:0: 0 none, 1 any alignment, 2 dword aligned.
  constexpr std::uint32_t sgl_support() const { return sgls.get() & 0x3; }
  ///@{
  /// Bits of SGLS: keyed descriptors, offsets for addresses, and transport data blocks.
  constexpr bool supports_keyed_sgl() const { return (sgls.get() & (1u << 2)) != 0; }
  constexpr bool supports_offset_sgl() const { return (sgls.get() & (1u << 20)) != 0; }
  constexpr bool supports_transport_sgl() const { return (sgls.get() & (1u << 21)) != 0; }
  ///@}
};

static_assert(sizeof(IdentifyController) == kIdentifyBytes);
static_assert(offsetof(IdentifyController, sn) == 4);
static_assert(offsetof(IdentifyController, mn) == 24);
static_assert(offsetof(IdentifyController, fr) == 64);
static_assert(offsetof(IdentifyController, rab) == 72);
static_assert(offsetof(IdentifyController, cmic) == 76);
static_assert(offsetof(IdentifyController, mdts) == 77);
static_assert(offsetof(IdentifyController, cntlid) == 78);
static_assert(offsetof(IdentifyController, ver) == 80);
static_assert(offsetof(IdentifyController, rtd3e) == 88);
static_assert(offsetof(IdentifyController, oaes) == 92);
static_assert(offsetof(IdentifyController, ctratt) == 96);
static_assert(offsetof(IdentifyController, cntrltype) == 111);
static_assert(offsetof(IdentifyController, fguid) == 112);
static_assert(offsetof(IdentifyController, crdt1) == 128);
static_assert(offsetof(IdentifyController, oacs) == 256);
static_assert(offsetof(IdentifyController, acl) == 258);
static_assert(offsetof(IdentifyController, aerl) == 259);
static_assert(offsetof(IdentifyController, lpa) == 261);
static_assert(offsetof(IdentifyController, elpe) == 262);
static_assert(offsetof(IdentifyController, tnvmcap) == 280);
static_assert(offsetof(IdentifyController, kas) == 320);
static_assert(offsetof(IdentifyController, sanicap) == 328);
static_assert(offsetof(IdentifyController, anatt) == 342);
static_assert(offsetof(IdentifyController, anacap) == 343);
static_assert(offsetof(IdentifyController, anagrpmax) == 344);
static_assert(offsetof(IdentifyController, nanagrpid) == 348);
static_assert(offsetof(IdentifyController, cqt) == 386);
static_assert(offsetof(IdentifyController, sqes) == 512);
static_assert(offsetof(IdentifyController, maxcmd) == 514);
static_assert(offsetof(IdentifyController, nn) == 516);
static_assert(offsetof(IdentifyController, oncs) == 520);
static_assert(offsetof(IdentifyController, fuses) == 522);
static_assert(offsetof(IdentifyController, vwc) == 525);
static_assert(offsetof(IdentifyController, awun) == 526);
static_assert(offsetof(IdentifyController, acwu) == 532);
static_assert(offsetof(IdentifyController, sgls) == 536);
static_assert(offsetof(IdentifyController, mnan) == 540);
static_assert(offsetof(IdentifyController, subnqn) == 768);
static_assert(offsetof(IdentifyController, ioccsz) == 1792);
static_assert(offsetof(IdentifyController, iorcsz) == 1796);
static_assert(offsetof(IdentifyController, icdoff) == 1800);
static_assert(offsetof(IdentifyController, fcatt) == 1802);
static_assert(offsetof(IdentifyController, msdbd) == 1803);
static_assert(offsetof(IdentifyController, ofcs) == 1804);
static_assert(offsetof(IdentifyController, dctype) == 1806);
static_assert(offsetof(IdentifyController, psd) == 2048);
static_assert(offsetof(IdentifyController, vendor) == 3072);
static_assert(std::is_trivially_copyable_v<IdentifyController>);

/// One LBA format. [NVM 1.1 §4.1.5]
struct LbaFormat {
  Le16 ms;                 ///< metadata bytes for each block
  std::uint8_t lbads = 0;  ///< log2 of the block size in bytes
  std::uint8_t rp = 0;     ///< relative performance in bits 1:0

  /// LBADS converted; 0 when the format is not available (below 9) or absurd (above 31).
  constexpr std::uint32_t block_bytes() const {
    return lbads >= 9 && lbads <= 31 ? 1u << lbads : 0;
  }
};

static_assert(sizeof(LbaFormat) == 4);
static_assert(offsetof(LbaFormat, lbads) == 2);

inline constexpr std::uint32_t kMaxLbaFormats = 64;  ///< with extended LBA formats; else 16

/// Identify Namespace of the NVM command set, CNS 00h. [NVM 1.1 §4.1.5]
struct IdentifyNamespace {
  Le64 nsze;                ///< size in blocks: LBAs 0 to nsze - 1
  Le64 ncap;                ///< capacity: blocks that can be allocated at once
  Le64 nuse;                ///< blocks that are allocated
  std::uint8_t nsfeat = 0;  ///< features; see the accessors
  std::uint8_t nlbaf = 0;   ///< 0's based
  std::uint8_t flbas = 0;   ///< format in use; see lba_format_index()
  std::uint8_t mc = 0;      ///< metadata capabilities
  std::uint8_t dpc = 0;     ///< protection information that there can be
  std::uint8_t dps = 0;     ///< protection information in use
  std::uint8_t nmic = 0;    ///< how it may be shared
  std::uint8_t rescap = 0;  ///< reservation capabilities
  std::uint8_t fpi = 0;     ///< format progress: percent that remains in bits 6:0, valid with bit 7
  std::uint8_t dlfeat = 0;  ///< what deallocated blocks read as
  Le16 nawun;               ///< 0's based
  Le16 nawupf;              ///< 0's based
  Le16 nacwu;               ///< 0's based
  Le16 nabsn;               ///< blocks between atomic boundaries, 0's based; 0: there are none
  Le16 nabo;                ///< blocks before the first atomic boundary
  Le16 nabspf;              ///< as nabsn, when power fails
  Le16 noiob;               ///< blocks; 0: none
  Le128 nvmcap;             ///< bytes of NVM
  Le16 npwg;                ///< 0's based
  Le16 npwa;                ///< 0's based
  Le16 npdg;                ///< 0's based
  Le16 npda;                ///< 0's based
  Le16 nows;                ///< 0's based
  Le16 mssrl;               ///< most blocks of one source range of Copy
  Le32 mcl;                 ///< most blocks of one Copy
  std::uint8_t msrc = 0;    ///< 0's based
  std::uint8_t kpios = 0;   ///< key per I/O
  std::uint8_t nulbaf = 0;  ///< LBA formats, after the others, that have attributes of their own
  std::array<std::uint8_t, 9> reserved83{};
  Le32 anagrpid;  ///< its ANA group; 0: none
  std::array<std::uint8_t, 3> reserved96{};
  std::uint8_t nsattr = 0;                       ///< attributes; see write_protected()
  Le16 nvmsetid;                                 ///< its NVM set; 0: none
  Le16 endgid;                                   ///< its endurance group; 0: none
  std::array<std::uint8_t, 16> nguid{};          ///< big-endian; zeroes: none
  std::array<std::uint8_t, 8> eui64{};           ///< big-endian; zeroes: none
  std::array<LbaFormat, kMaxLbaFormats> lbaf{};  ///< those up to nlbaf + nulbaf are there
  std::array<std::uint8_t, 3712> vendor{};       ///< the vendor's

  /// Whether there is a namespace; an inactive one is all zeroes.
  constexpr bool active() const { return ncap.get() != 0; }
  /// NLBAF converted; never more than there is room for.
  constexpr std::uint32_t lba_format_count() const {
    return nlbaf < kMaxLbaFormats ? nlbaf + 1u : kMaxLbaFormats;
  }
  /// FLBAS: bits 3:0, and above 16 formats bits 6:5 as the high part; always a valid index.
  constexpr std::uint32_t lba_format_index() const {
    const std::uint32_t low = flbas & 0xfu;
    return lba_format_count() > 16 ? low | ((flbas & 0x60u) >> 1) : low;
  }
  /// That which is in use.
  constexpr const LbaFormat& current_format() const { return lbaf[lba_format_index()]; }
  /// Bytes in a block as it is formatted now; 0: not a format that can be used.
  constexpr std::uint32_t block_bytes() const { return current_format().block_bytes(); }
  /// Bytes of metadata of each block.
  constexpr std::uint32_t metadata_bytes() const { return current_format().ms.get(); }
  /// FLBAS bit 4: metadata follows each block in the data buffer.
  constexpr bool metadata_extends_block() const { return (flbas & 0x10) != 0; }
  /// DPS bits 2:0: type of protection information, 0 for none.
  constexpr std::uint32_t protection_type() const { return dps & 0x7u; }

  /// NSFEAT bit 0: it may have fewer blocks than it shows.
  constexpr bool thin_provisioned() const { return (nsfeat & (1u << 0)) != 0; }
  /// NSFEAT bit 1: nawun, nawupf and nacwu replace the controller's values.
  constexpr bool has_atomic_fields() const { return (nsfeat & (1u << 1)) != 0; }
  /// NSFEAT.OPTPERF bit 4: npwg, npwa, npdg, npda and nows are there.
  constexpr bool has_optimal_fields() const { return (nsfeat & (1u << 4)) != 0; }
  ///@{
  /// NPWG, NPWA, NPDG, NPDA and NOWS converted, in blocks; has_optimal_fields() says whether they
  /// mean anything.
  constexpr std::uint32_t preferred_write_block_count() const { return npwg.get() + 1u; }
  constexpr std::uint32_t preferred_write_alignment_block_count() const { return npwa.get() + 1u; }
  constexpr std::uint32_t preferred_deallocate_block_count() const { return npdg.get() + 1u; }
  constexpr std::uint32_t preferred_deallocate_alignment_block_count() const {
    return npda.get() + 1u;
  }
  constexpr std::uint32_t optimal_write_block_count() const { return nows.get() + 1u; }
  ///@}
  ///@{
  /// NAWUN and NAWUPF converted, in blocks; has_atomic_fields() says whether they mean anything.
  constexpr std::uint32_t atomic_write_block_count() const { return nawun.get() + 1u; }
  constexpr std::uint32_t atomic_write_power_fail_block_count() const { return nawupf.get() + 1u; }
  ///@}

  /// DLFEAT bits 2:0 are 001b: deallocated blocks read as zeroes.
  constexpr bool deallocated_reads_zero() const { return (dlfeat & 0x7) == 1; }
  /// DLFEAT bit 3: Write Zeroes may deallocate (DEAC).
  constexpr bool write_zeroes_may_deallocate() const { return (dlfeat & (1u << 3)) != 0; }
  /// NMIC bit 0: other controllers reach this namespace too.
  constexpr bool shared() const { return (nmic & 1) != 0; }
  /// NSATTR bit 0: write protected at the moment.
  constexpr bool write_protected() const { return (nsattr & 1) != 0; }
};

static_assert(sizeof(IdentifyNamespace) == kIdentifyBytes);
static_assert(offsetof(IdentifyNamespace, nsfeat) == 24);
static_assert(offsetof(IdentifyNamespace, nlbaf) == 25);
static_assert(offsetof(IdentifyNamespace, flbas) == 26);
static_assert(offsetof(IdentifyNamespace, dps) == 29);
static_assert(offsetof(IdentifyNamespace, nmic) == 30);
static_assert(offsetof(IdentifyNamespace, rescap) == 31);
static_assert(offsetof(IdentifyNamespace, dlfeat) == 33);
static_assert(offsetof(IdentifyNamespace, nawun) == 34);
static_assert(offsetof(IdentifyNamespace, nabspf) == 44);
static_assert(offsetof(IdentifyNamespace, noiob) == 46);
static_assert(offsetof(IdentifyNamespace, nvmcap) == 48);
static_assert(offsetof(IdentifyNamespace, npwg) == 64);
static_assert(offsetof(IdentifyNamespace, npdg) == 68);
static_assert(offsetof(IdentifyNamespace, nows) == 72);
static_assert(offsetof(IdentifyNamespace, mssrl) == 74);
static_assert(offsetof(IdentifyNamespace, mcl) == 76);
static_assert(offsetof(IdentifyNamespace, msrc) == 80);
static_assert(offsetof(IdentifyNamespace, nulbaf) == 82);
static_assert(offsetof(IdentifyNamespace, anagrpid) == 92);
static_assert(offsetof(IdentifyNamespace, nsattr) == 99);
static_assert(offsetof(IdentifyNamespace, nvmsetid) == 100);
static_assert(offsetof(IdentifyNamespace, nguid) == 104);
static_assert(offsetof(IdentifyNamespace, eui64) == 120);
static_assert(offsetof(IdentifyNamespace, lbaf) == 128);
static_assert(offsetof(IdentifyNamespace, vendor) == 384);
static_assert(std::is_trivially_copyable_v<IdentifyNamespace>);

/// A list of namespace ids, CNS 02h: ascending, padded with 0. [Base 2.1 §5.1.13]
struct NamespaceList {
  std::array<Le32, 1024> nsid{};  ///< 0: there are no more
};

static_assert(sizeof(NamespaceList) == kIdentifyBytes);
static_assert(std::is_trivially_copyable_v<NamespaceList>);

/// NIDT: what a namespace identification descriptor holds. [Base 2.1 §5.1.13]
enum class NamespaceIdType : std::uint8_t { kEui64 = 1, kNguid = 2, kUuid = 3, kCsi = 4 };

/// The head of a descriptor of CNS 03h; `nidl` bytes of identifier follow. The list ends with
/// `nidl` 0 or with the data. [Base 2.1 §5.1.13]
struct NamespaceIdDescriptor {
  std::uint8_t nidt = 0;  ///< a NamespaceIdType
  std::uint8_t nidl = 0;  ///< bytes of the identifier
  std::array<std::uint8_t, 2> reserved2{};
};

static_assert(sizeof(NamespaceIdDescriptor) == 4);
static_assert(std::is_trivially_copyable_v<NamespaceIdDescriptor>);

/// I/O Command Set, CNS 1Ch: the combinations of command sets that a controller can offer. Bit n of
/// one is the set with CSI n; 0 is no combination. [Base 2.1 §5.1.13]
struct IdentifyCommandSets {
  std::array<Le64, 512> iocsc{};  ///< combination n
};

static_assert(sizeof(IdentifyCommandSets) == kIdentifyBytes);
static_assert(std::is_trivially_copyable_v<IdentifyCommandSets>);

/// Identify Controller of the NVM command set, CNS 06h CSI 0. A limit of 0 is none.
/// [NVM 1.1 §4.1.5]
struct IdentifyControllerNvm {
  std::uint8_t vsl = 0;   ///< log2 of units of the minimum page
  std::uint8_t wzsl = 0;  ///< log2 of units of the minimum page
  std::uint8_t wusl = 0;  ///< log2 of units of the minimum page
  std::uint8_t dmrl = 0;  ///< ranges of one Dataset Management
  Le32 dmrsl;             ///< blocks of one range
  Le64 dmsl;              ///< blocks of one Dataset Management
  std::array<std::uint8_t, 4080> reserved16{};

  /// WZSL converted with CAP.MPSMIN: what one Write Zeroes may cover, or kNoLimit.
  constexpr std::uint64_t write_zeroes_limit_bytes(std::uint64_t min_page_bytes) const {
    return wzsl == 0 || wzsl >= 32 ? kNoLimit : min_page_bytes << wzsl;
  }
  /// The same for WUSL and Write Uncorrectable.
  constexpr std::uint64_t write_uncorrectable_limit_bytes(std::uint64_t min_page_bytes) const {
    return wusl == 0 || wusl >= 32 ? kNoLimit : min_page_bytes << wusl;
  }
  /// The same for VSL and Verify.
  constexpr std::uint64_t verify_limit_bytes(std::uint64_t min_page_bytes) const {
    return vsl == 0 || vsl >= 32 ? kNoLimit : min_page_bytes << vsl;
  }
  /// DMRL converted: never more ranges than the command has room for.
  constexpr std::uint32_t deallocate_range_count() const { return dmrl == 0 ? 256u : dmrl; }
  /// DMRSL converted: blocks of one range; FFFFFFFFh where there is no limit.
  constexpr std::uint64_t deallocate_range_block_count() const {
    return dmrsl.get() == 0 ? 0xffffffffull : dmrsl.get();
  }
  /// DMSL converted: blocks of all ranges, or kNoLimit.
  constexpr std::uint64_t deallocate_block_count() const {
    return dmsl.get() == 0 ? kNoLimit : dmsl.get();
  }
};

static_assert(sizeof(IdentifyControllerNvm) == kIdentifyBytes);
static_assert(offsetof(IdentifyControllerNvm, wzsl) == 1);
static_assert(offsetof(IdentifyControllerNvm, wusl) == 2);
static_assert(offsetof(IdentifyControllerNvm, dmrl) == 3);
static_assert(offsetof(IdentifyControllerNvm, dmrsl) == 4);
static_assert(offsetof(IdentifyControllerNvm, dmsl) == 8);
static_assert(std::is_trivially_copyable_v<IdentifyControllerNvm>);

/// Identify Namespace of the NVM command set, CNS 05h CSI 0. [NVM 1.1 §4.1.5]
struct IdentifyNamespaceNvm {
  Le64 lbstm;             ///< storage tag mask
  std::uint8_t pic = 0;   ///< protection information capabilities
  std::uint8_t pifa = 0;  ///< protection information format attributes
  std::array<std::uint8_t, 2> reserved10{};
  std::array<Le32, kMaxLbaFormats> elbaf{};  ///< by LBA format: see below
  Le32 npdgl;                                ///< preferred deallocate granularity, blocks
  Le32 nprg;                                 ///< preferred read granularity
  Le32 npra;                                 ///< preferred read alignment
  Le32 nors;                                 ///< optimal read size
  Le32 npdal;                                ///< preferred deallocate alignment, blocks
  Le32 lbapss;                               ///< LBA format placement shard size
  Le32 tlbaag;                               ///< tracked LBA allocation granularity
  std::array<std::uint8_t, 3800> reserved296{};

  /// ELBAF bits 6:0, storage tag size in bits.
  static constexpr std::uint32_t storage_tag_bits(Le32 format) { return format.get() & 0x7f; }
  /// ELBAF bits 8:7, protection information format: 0 for 16, 1 for 32, 2 for 64 bit guards.
  static constexpr std::uint32_t guard_format(Le32 format) { return (format.get() >> 7) & 0x3; }
};

static_assert(sizeof(IdentifyNamespaceNvm) == kIdentifyBytes);
static_assert(offsetof(IdentifyNamespaceNvm, pic) == 8);
static_assert(offsetof(IdentifyNamespaceNvm, elbaf) == 12);
static_assert(offsetof(IdentifyNamespaceNvm, npdgl) == 268);
static_assert(offsetof(IdentifyNamespaceNvm, npdal) == 284);
static_assert(std::is_trivially_copyable_v<IdentifyNamespaceNvm>);

/// I/O Command Set Independent Identify Namespace, CNS 08h. [Base 2.1 §5.1.13]
struct IdentifyNamespaceIndependent {
  std::uint8_t nsfeat = 0;  ///< features common to all command sets
  std::uint8_t nmic = 0;    ///< how it may be shared
  std::uint8_t rescap = 0;  ///< reservation capabilities
  std::uint8_t fpi = 0;     ///< format progress: percent that remains in bits 6:0, valid with bit 7
  Le32 anagrpid;            ///< its ANA group; 0: none
  std::uint8_t nsattr = 0;  ///< attributes; write protected in bit 0
  std::uint8_t reserved9 = 0;
  Le16 nvmsetid;           ///< its NVM set; 0: none
  Le16 endgid;             ///< its endurance group; 0: none
  std::uint8_t nstat = 0;  ///< its status; see ready()
  std::array<std::uint8_t, 4081> reserved15{};

  /// NSTAT bit 0: ready for commands that touch the media.
  constexpr bool ready() const { return (nstat & 1) != 0; }
};

static_assert(sizeof(IdentifyNamespaceIndependent) == kIdentifyBytes);
static_assert(offsetof(IdentifyNamespaceIndependent, anagrpid) == 4);
static_assert(offsetof(IdentifyNamespaceIndependent, nstat) == 14);
static_assert(std::is_trivially_copyable_v<IdentifyNamespaceIndependent>);

}  // namespace nvublk::nvme::spec
