#pragma once

// Controller properties: registers over PCIe, Property Get and Set over fabrics. [Base 2.1 §3.1.4]

#include <cstdint>

namespace nvublk::nvme::spec {

/// Offsets in bytes. [Base 2.1 §3.1.4]
enum class Property : std::uint32_t {
  kCap = 0x00,
  kVs = 0x08,
  kIntms = 0x0c,
  kIntmc = 0x10,
  kCc = 0x14,
  kCsts = 0x1c,
  kNssr = 0x20,
  kAqa = 0x24,
  kAsq = 0x28,
  kAcq = 0x30,
  kCmbloc = 0x38,
  kCmbsz = 0x3c,
  kBpinfo = 0x40,
  kBprsel = 0x44,
  kBpmbl = 0x48,
  kCmbmsc = 0x50,
  kCmbsts = 0x58,
  kCmbebs = 0x5c,
  kCmbswtp = 0x60,
  kNssd = 0x64,
  kCrto = 0x68,
  kPmrcap = 0xe00,
  kPmrctl = 0xe04,
  kPmrsts = 0xe08,
  kPmrebs = 0xe0c,
  kPmrswtp = 0xe10,
  kPmrmscl = 0xe14,
  kPmrmscu = 0xe18,
};

/// Where the doorbells of PCIe controllers begin.
inline constexpr std::uint32_t kDoorbellOffset = 0x1000;

/// Whether `property` has 8 bytes; the others have 4.
constexpr bool is_8_byte_property(Property property) {
  return property == Property::kCap || property == Property::kAsq || property == Property::kAcq ||
         property == Property::kBpmbl || property == Property::kCmbmsc;
}

/// CAP, Controller Capabilities. [Base 2.1 §3.1.4.1]
struct Cap {
  std::uint64_t raw = 0;  ///< all bits

  /// MQES converted: how many entries an I/O queue may have.
  constexpr std::uint32_t max_queue_entries() const {
    return static_cast<std::uint32_t>(raw & 0xffff) + 1;
  }
  /// CQR: queues in one piece of memory only.
  constexpr bool contiguous_queues_required() const { return bit(16); }
  /// AMS: weighted round robin with an urgent class.
  constexpr bool supports_weighted_round_robin() const { return bit(17); }
  /// TO converted: the longest that CSTS.RDY takes to follow CC.EN; may be 0.
  constexpr std::uint32_t timeout_ms() const {
    return static_cast<std::uint32_t>((raw >> 24) & 0xff) * 500;
  }
  /// DSTRD converted: bytes from one doorbell to the next.
  constexpr std::uint32_t doorbell_stride_bytes() const { return 4u << ((raw >> 32) & 0xf); }
  /// NSSRS: a write to NSSR resets the subsystem.
  constexpr bool supports_subsystem_reset() const { return bit(36); }
  /// CSS bit 0: the NVM command set.
  constexpr bool supports_nvm_command_set() const { return bit(37); }
  /// CSS bit 6: one or more I/O command sets, selected per namespace (CC.CSS 110b).
  constexpr bool supports_io_command_sets() const { return bit(43); }
  /// CSS bit 7: no I/O command set, an administrative or discovery controller.
  constexpr bool supports_admin_only() const { return bit(44); }
  /// MPSMIN and MPSMAX converted to bytes.
  constexpr std::uint64_t min_page_bytes() const { return 1ull << (12 + ((raw >> 48) & 0xf)); }
  /// See min_page_bytes().
  constexpr std::uint64_t max_page_bytes() const { return 1ull << (12 + ((raw >> 52) & 0xf)); }
  /// PMRS: there is a persistent memory region.
  constexpr bool supports_pmr() const { return bit(56); }
  /// CMBS: there is a controller memory buffer, once CMBMSC enables it.
  constexpr bool supports_cmb() const { return bit(57); }
  /// NSSS: the subsystem can be shut down.
  constexpr bool supports_subsystem_shutdown() const { return bit(58); }
  /// CRMS: which ready modes there are; the timeouts are then in CRTO.
  constexpr bool supports_ready_with_media() const { return bit(59); }
  /// See supports_ready_with_media().
  constexpr bool supports_ready_independent_of_media() const { return bit(60); }

 private:
  constexpr bool bit(unsigned index) const { return ((raw >> index) & 1) != 0; }
};

/// VS, Version: 0x00020100 is 2.1.0. [Base 2.1 §3.1.4.2]
struct Vs {
  std::uint32_t raw = 0;  ///< all bits

  /// `major` and `minor` as in "2.1".
  static constexpr Vs make(std::uint32_t major, std::uint32_t minor, std::uint32_t tertiary = 0) {
    return {(major << 16) | (minor << 8) | tertiary};
  }
  ///@{
  /// The parts of the number.
  constexpr std::uint32_t major_version() const { return raw >> 16; }
  constexpr std::uint32_t minor_version() const { return (raw >> 8) & 0xff; }
  constexpr std::uint32_t tertiary_version() const { return raw & 0xff; }
  ///@}
  /// Whether it is this version or a later one.
  constexpr bool at_least(std::uint32_t major, std::uint32_t minor) const {
    return raw >= make(major, minor).raw;
  }
};

/// CC.SHN, Shutdown Notification.
enum class ShutdownNotification : std::uint8_t { kNone = 0, kNormal = 1, kAbrupt = 2 };

/// CC.CSS, I/O Command Set Selected.
enum class CommandSetSelection : std::uint8_t { kNvm = 0, kAllSupported = 6, kAdminOnly = 7 };

/// CC.AMS, Arbitration Mechanism Selected.
enum class Arbitration : std::uint8_t { kRoundRobin = 0, kWeightedRoundRobin = 1, kVendor = 7 };

/// CC, Controller Configuration. [Base 2.1 §3.1.4.5]
struct Cc {
  std::uint32_t raw = 0;  ///< all bits

  ///@{
  /// EN.
  constexpr bool enabled() const { return (raw & 1) != 0; }
  constexpr void set_enabled(bool on) { set(0, 1, on ? 1 : 0); }
  ///@}
  ///@{
  /// CSS: command sets that are enabled.
  constexpr CommandSetSelection css() const {
    return static_cast<CommandSetSelection>(get(4, 0x7));
  }
  constexpr void set_css(CommandSetSelection css) { set(4, 0x7, static_cast<std::uint32_t>(css)); }
  ///@}
  /// MPS converted: bytes in a memory page.
  constexpr std::uint64_t page_bytes() const { return 1ull << (12 + get(7, 0xf)); }
  /// `page_shift` is log2 of the page size in bytes, 12 to 27.
  constexpr void set_page_shift(std::uint32_t page_shift) { set(7, 0xf, page_shift - 12); }
  ///@{
  /// AMS: how I/O queues are served.
  constexpr Arbitration ams() const { return static_cast<Arbitration>(get(11, 0x7)); }
  constexpr void set_ams(Arbitration ams) { set(11, 0x7, static_cast<std::uint32_t>(ams)); }
  ///@}
  ///@{
  /// SHN: a shutdown is asked for.
  constexpr ShutdownNotification shn() const {
    return static_cast<ShutdownNotification>(get(14, 0x3));
  }
  constexpr void set_shn(ShutdownNotification shn) {
    set(14, 0x3, static_cast<std::uint32_t>(shn));
  }
  ///@}
  /// IOSQES and IOCQES converted: bytes in an entry of the I/O queues.
  constexpr std::uint32_t io_sqe_bytes() const { return 1u << get(16, 0xf); }
  /// See io_sqe_bytes().
  constexpr std::uint32_t io_cqe_bytes() const { return 1u << get(20, 0xf); }
  /// Sets the entry sizes that every command set of today has: 64 and 16 bytes.
  constexpr void set_standard_entry_sizes() {
    set(16, 0xf, 6);
    set(20, 0xf, 4);
  }
  /// CRIME: become ready without waiting for the media.
  constexpr bool ready_independent_of_media() const { return get(24, 1) != 0; }
  /// See ready_independent_of_media().
  constexpr void set_ready_independent_of_media(bool on) { set(24, 1, on ? 1 : 0); }

 private:
  constexpr std::uint32_t get(unsigned shift, std::uint32_t mask) const {
    return (raw >> shift) & mask;
  }
  constexpr void set(unsigned shift, std::uint32_t mask, std::uint32_t value) {
    raw = (raw & ~(mask << shift)) | ((value & mask) << shift);
  }
};

/// CSTS.SHST, Shutdown Status.
enum class ShutdownStatus : std::uint8_t { kNormal = 0, kOccurring = 1, kComplete = 2 };

/// CSTS, Controller Status. [Base 2.1 §3.1.4.6]
struct Csts {
  std::uint32_t raw = 0;  ///< all bits

  /// RDY: commands can be submitted.
  constexpr bool ready() const { return (raw & 1) != 0; }
  /// CFS: the controller is in a fatal state and has to be reset.
  constexpr bool fatal() const { return (raw & 2) != 0; }
  /// SHST: how far a shutdown is.
  constexpr ShutdownStatus shst() const { return static_cast<ShutdownStatus>((raw >> 2) & 0x3); }
  /// NSSRO: the subsystem was reset since it was powered on, or since the bit was cleared.
  constexpr bool subsystem_reset_occurred() const { return (raw & 0x10) != 0; }
  /// PP: the controller takes no commands up at the moment.
  constexpr bool processing_paused() const { return (raw & 0x20) != 0; }
  /// All ones is what PCIe reads when the device is gone.
  constexpr bool all_ones() const { return raw == 0xffffffff; }

  ///@{
  /// Bits of the register: RDY, CFS, and two values of SHST.
  static constexpr std::uint32_t kReady = 1u << 0;
  static constexpr std::uint32_t kFatal = 1u << 1;
  static constexpr std::uint32_t kShutdownOccurring = 1u << 2;
  static constexpr std::uint32_t kShutdownComplete = 2u << 2;
  ///@}
};

/// CMBLOC, where the controller's memory is. [PCIe 1.1 §3.1.2.1]
struct Cmbloc {
  std::uint32_t raw = 0;  ///< all bits

  /// BIR: which base address register of the function it lies in.
  constexpr unsigned bar() const { return raw & 0x7; }
  /// In units of Cmbsz::unit_bytes().
  constexpr std::uint64_t offset_units() const { return raw >> 12; }
};

/// CMBSZ, how much of it there is, and for what. [PCIe 1.1 §3.1.2.2]
struct Cmbsz {
  std::uint32_t raw = 0;  ///< all bits

  /// SQS: submission queues may lie in it.
  constexpr bool submission_queues() const { return (raw & 1) != 0; }
  /// SZU; values that the specification does not have are the largest that it has.
  constexpr std::uint64_t unit_bytes() const {
    const std::uint32_t unit = (raw >> 8) & 0xf;
    return 4096ull << (4 * (unit < 6 ? unit : 6));
  }
  /// SZ converted.
  constexpr std::uint64_t size_bytes() const { return (raw >> 12) * unit_bytes(); }
};

/// CMBMSC, its address. [PCIe 1.1 §3.1.2.3]
struct Cmbmsc {
  std::uint64_t raw = 0;  ///< all bits

  /// `address` is page aligned; it has a meaning where the memory is enabled.
  static constexpr Cmbmsc make(std::uint64_t address, bool enabled) {
    return {address | (enabled ? 2u : 0u) | 1u};
  }
  /// CMSE: the controller takes addresses from address() on for its own memory.
  constexpr bool enabled() const { return (raw & 2) != 0; }
  /// CBA: where the memory begins for the controller.
  constexpr std::uint64_t address() const { return raw & ~std::uint64_t{0xfff}; }
};
/// CBAI of CMBSTS: the address cannot be used.
inline constexpr std::uint32_t kCmbstsInvalidAddress = 1u << 0;

/// AQA, Admin Queue Attributes. [Base 2.1 §3.1.4.8]
struct Aqa {
  std::uint32_t raw = 0;  ///< all bits

  /// Entries in 2 .. 4096, converted to the 0's based fields.
  static constexpr Aqa make(std::uint32_t sq_entries, std::uint32_t cq_entries) {
    return {(((cq_entries - 1) & 0xfff) << 16) | ((sq_entries - 1) & 0xfff)};
  }
  ///@{
  /// ASQS and ACQS converted.
  constexpr std::uint32_t sq_entries() const { return (raw & 0xfff) + 1; }
  constexpr std::uint32_t cq_entries() const { return ((raw >> 16) & 0xfff) + 1; }
  ///@}
};

/// CRTO, Controller Ready Timeouts; valid when CAP names a ready mode. [Base 2.1 §3.1.4]
struct Crto {
  std::uint32_t raw = 0;  ///< all bits

  ///@{
  /// CRWMT and CRIMT converted: how long CSTS.RDY may take, with the media or without.
  constexpr std::uint32_t ready_with_media_ms() const { return (raw & 0xffff) * 500; }
  constexpr std::uint32_t ready_independent_of_media_ms() const { return (raw >> 16) * 500; }
  ///@}
};

/// What a write to NSSR has to be ("NVMe") to reset the subsystem. [Base 2.1 §3.1.4.7]
inline constexpr std::uint32_t kSubsystemResetValue = 0x4e564d65;

}  // namespace nvublk::nvme::spec
