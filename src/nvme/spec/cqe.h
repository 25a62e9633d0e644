#pragma once

// The completion queue entry. [Base 2.1 §4.2]

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"
#include "nvme/spec/status.h"

namespace nvublk::nvme::spec {

/// 16 bytes. The phase tag has a meaning in queues in memory (PCIe) only; capsules carry 0 there.
/// [Base 2.1 §4.2.1]
struct CompletionEntry {
  Le32 dw0;   ///< command specific result, low half
  Le32 dw1;   ///< command specific result, high half (Property Get, Zone Append)
  Le16 sqhd;  ///< submission queue head; not meaningful when SQ flow control is disabled
  Le16 sqid;  ///< reserved in fabrics capsules
  Le16 cid;   ///< of the command that it answers
  Le16 status_and_phase;  ///< phase tag in bit 0, status in bits 15:1

  /// DW0 and DW1 as one number.
  constexpr std::uint64_t result() const {
    return (static_cast<std::uint64_t>(dw1.get()) << 32) | dw0.get();
  }
  /// Writes DW0 and DW1.
  constexpr void set_result(std::uint64_t value) {
    dw0 = static_cast<std::uint32_t>(value);
    dw1 = static_cast<std::uint32_t>(value >> 32);
  }
  /// The phase tag.
  constexpr bool phase() const { return (status_and_phase.get() & 1) != 0; }
  /// How the command ended.
  constexpr NvmeStatus status() const {
    return NvmeStatus::from_bits(static_cast<std::uint16_t>(status_and_phase.get() >> 1));
  }
  /// Writes the status and the phase tag.
  constexpr void set_status(NvmeStatus status, bool phase = false) {
    status_and_phase = static_cast<std::uint16_t>((status.bits() << 1) | (phase ? 1 : 0));
  }

  friend constexpr bool operator==(const CompletionEntry&, const CompletionEntry&) = default;
};

inline constexpr std::size_t kCompletionEntryBytes = 16;  ///< of an entry in a queue

static_assert(sizeof(CompletionEntry) == kCompletionEntryBytes);
static_assert(offsetof(CompletionEntry, dw1) == 4);
static_assert(offsetof(CompletionEntry, sqhd) == 8);
static_assert(offsetof(CompletionEntry, sqid) == 10);
static_assert(offsetof(CompletionEntry, cid) == 12);
static_assert(offsetof(CompletionEntry, status_and_phase) == 14);
static_assert(std::is_trivially_copyable_v<CompletionEntry>);

}  // namespace nvublk::nvme::spec
