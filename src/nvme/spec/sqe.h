#pragma once

// The submission queue entry. [Base 2.1 §4.1]

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"
#include "nvme/spec/opcodes.h"
#include "nvme/spec/sgl.h"

namespace nvublk::nvme::spec {

/// Bits 1:0 of the flags byte. [Base 2.1 §4.1.1]
enum class Fuse : std::uint8_t { kNormal = 0, kFirst = 1, kSecond = 2 };

/// Bits 7:6 of the flags byte: PRP or SGL for Data Transfer. Fabrics use SGLs only.
/// [Base 2.1 §4.1.1]
enum class Psdt : std::uint8_t { kPrp = 0, kSglContiguousMetadata = 1, kSglMetadataSgl = 2 };

/// 64 bytes; every command set shares bytes 0 to 39. [Base 2.1 §4.1.1]
struct SubmissionEntry {
  std::uint8_t opcode = 0;              ///< which command, of the command set or of the admin queue
  std::uint8_t flags = 0;               ///< FUSE in bits 1:0, PSDT in bits 7:6
  Le16 cid;                             ///< unique among the outstanding commands of the queue
  Le32 nsid;                            ///< kNsidNone, kNsidBroadcast, or a namespace
  Le32 cdw2;                            ///< by the command
  Le32 cdw3;                            ///< by the command
  Le64 mptr;                            ///< MPTR, where metadata is that has a buffer of its own
  std::array<std::uint8_t, 16> dptr{};  ///< PRP1 and PRP2, or SGL1
  ///@{
  /// By the command.
  Le32 cdw10;
  Le32 cdw11;
  Le32 cdw12;
  Le32 cdw13;
  Le32 cdw14;
  Le32 cdw15;
  ///@}

  ///@{
  /// The opcode, on an admin and on an I/O queue.
  constexpr AdminOpcode admin_opcode() const { return static_cast<AdminOpcode>(opcode); }
  constexpr NvmOpcode nvm_opcode() const { return static_cast<NvmOpcode>(opcode); }
  ///@}
  /// Whether it is a Fabrics command, whose bytes 4 to 39 mean something else.
  constexpr bool is_fabrics() const { return opcode == kFabricsOpcode; }
  /// Byte 4, meaningful when is_fabrics().
  constexpr FabricsCommandType fctype() const {
    return static_cast<FabricsCommandType>(nsid.get() & 0xff);
  }
  /// Which way data goes, from the opcode, or from fctype for Fabrics commands.
  constexpr DataDirection direction() const {
    return data_direction(is_fabrics() ? static_cast<std::uint8_t>(fctype()) : opcode);
  }

  ///@{
  /// FUSE: whether it is half of a fused command.
  constexpr Fuse fuse() const { return static_cast<Fuse>(flags & 0x3); }
  constexpr void set_fuse(Fuse fuse) {
    flags = static_cast<std::uint8_t>((flags & ~0x3u) | static_cast<unsigned>(fuse));
  }
  ///@}
  ///@{
  /// PSDT: what dptr is.
  constexpr Psdt psdt() const { return static_cast<Psdt>(flags >> 6); }
  constexpr void set_psdt(Psdt psdt) {
    flags = static_cast<std::uint8_t>((flags & 0x3fu) | (static_cast<unsigned>(psdt) << 6));
  }
  ///@}

  ///@{
  /// dptr read as an SGL1, keyed or not.
  constexpr SglDescriptor sgl() const { return std::bit_cast<SglDescriptor>(dptr); }
  constexpr KeyedSglDescriptor keyed_sgl() const { return std::bit_cast<KeyedSglDescriptor>(dptr); }
  ///@}
  /// Sets SGL1 and the PSDT that fabrics require with it.
  constexpr void set_sgl(const SglDescriptor& sgl) {
    dptr = std::bit_cast<std::array<std::uint8_t, 16>>(sgl);
    set_psdt(Psdt::kSglContiguousMetadata);
  }
  /// The same for a keyed descriptor.
  constexpr void set_sgl(const KeyedSglDescriptor& sgl) {
    dptr = std::bit_cast<std::array<std::uint8_t, 16>>(sgl);
    set_psdt(Psdt::kSglContiguousMetadata);
  }

  /// dptr as PRPs have it.
  struct Prps {
    Le64 prp1;  ///< first page, with an offset in it
    Le64 prp2;  ///< second page, or the list of all after the first
  };
  /// dptr read as PRPs.
  constexpr Prps prps() const { return std::bit_cast<Prps>(dptr); }
  /// Sets PRP1 and PRP2 and the PSDT of PRPs.
  constexpr void set_prps(std::uint64_t prp1, std::uint64_t prp2) {
    dptr = std::bit_cast<std::array<std::uint8_t, 16>>(Prps{Le64{prp1}, Le64{prp2}});
    set_psdt(Psdt::kPrp);
  }

  friend constexpr bool operator==(const SubmissionEntry&, const SubmissionEntry&) = default;
};

inline constexpr std::size_t kSubmissionEntryBytes = 64;  ///< of an entry in a queue

static_assert(sizeof(SubmissionEntry) == kSubmissionEntryBytes);
static_assert(offsetof(SubmissionEntry, opcode) == 0);
static_assert(offsetof(SubmissionEntry, flags) == 1);
static_assert(offsetof(SubmissionEntry, cid) == 2);
static_assert(offsetof(SubmissionEntry, nsid) == 4);
static_assert(offsetof(SubmissionEntry, cdw2) == 8);
static_assert(offsetof(SubmissionEntry, mptr) == 16);
static_assert(offsetof(SubmissionEntry, dptr) == 24);
static_assert(offsetof(SubmissionEntry, cdw10) == 40);
static_assert(offsetof(SubmissionEntry, cdw15) == 60);
static_assert(std::is_trivially_copyable_v<SubmissionEntry>);

/// The 64 bytes of a command-specific view as a submission entry.
template <typename Command>
  requires(sizeof(Command) == kSubmissionEntryBytes && std::is_trivially_copyable_v<Command>)
constexpr SubmissionEntry as_submission_entry(const Command& command) {
  return std::bit_cast<SubmissionEntry>(command);
}

/// A submission entry read as the command-specific view `Command`, such as ConnectCommand.
template <typename Command>
  requires(sizeof(Command) == kSubmissionEntryBytes && std::is_trivially_copyable_v<Command>)
constexpr Command submission_entry_as(const SubmissionEntry& entry) {
  return std::bit_cast<Command>(entry);
}

}  // namespace nvublk::nvme::spec
