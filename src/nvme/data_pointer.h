#pragma once

// PRPs and SGLs: how a command names its data in memory that the device reads and writes. Pure.
// [Base 2.1 §4.3]

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "nvme/spec/sgl.h"

namespace nvublk::nvme {

/// A piece of memory as the device sees it.
struct DmaSegment {
  std::uint64_t address = 0;
  std::uint64_t length_bytes = 0;
};

enum class DataPointerError : std::uint8_t {
  kEmpty,      ///< there is no data
  kAlignment,  ///< a segment begins or ends where a PRP or an SGL cannot
  kTooLong,    ///< the list has no room for it
};

/// PRP1 and PRP2, and how many list entries were written.
struct PrpPointers {
  std::uint64_t prp1 = 0;
  std::uint64_t prp2 = 0;
  std::size_t list_entries = 0;
  bool operator==(const PrpPointers&) const = default;
};

/// `list` is room for a PRP list that the device sees at `list_address`, which is page aligned;
/// where it spans pages, the last entry of each page points to the next one. Addresses are dword
/// aligned; all segments but the first begin at a page, all but the last end at one. [Base 2.1
/// §4.3.1]
std::expected<PrpPointers, DataPointerError> build_prps(std::span<const DmaSegment> segments,
                                                        std::uint32_t page_bytes,
                                                        std::span<std::uint64_t> list,
                                                        std::uint64_t list_address);

struct SglPointer {
  spec::SglDescriptor sgl1;
  std::size_t list_entries = 0;
};

/// Neighbouring segments become one descriptor; a single one goes into the command itself. `list`
/// is room for a last segment that the device sees at `list_address`. With `dword_aligned`
/// addresses and lengths have to be multiples of 4. [Base 2.1 §4.3.2]
std::expected<SglPointer, DataPointerError> build_sgl(std::span<const DmaSegment> segments,
                                                      std::span<spec::SglDescriptor> list,
                                                      std::uint64_t list_address,
                                                      bool dword_aligned);

}  // namespace nvublk::nvme
