#pragma once

// The Copy command's source ranges. [NVM 1.1 §3.3.2]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"

namespace nvublk::nvme::spec {

/// Source range entry, descriptor format 0h.
struct CopyRange {
  std::array<std::uint8_t, 8> reserved0{};
  Le64 slba;  ///< first block
  Le16 nlb;   ///< 0's based
  std::array<std::uint8_t, 6> reserved18{};
  Le32 elbrt;   ///< expected reference tag of the first block
  Le16 elbat;   ///< expected application tag
  Le16 elbatm;  ///< its mask

  /// NLB converted: 1 to 65536.
  constexpr std::uint32_t block_count() const { return nlb.get() + 1u; }
  /// `count` is 1 to 65536.
  constexpr void set_block_count(std::uint32_t count) {
    nlb = static_cast<std::uint16_t>(count - 1);
  }
};

/// MSRC has 8 bits, 0's based.
inline constexpr std::uint32_t kCopyMaxRanges = 256;

static_assert(sizeof(CopyRange) == 32);
static_assert(offsetof(CopyRange, slba) == 8 && offsetof(CopyRange, nlb) == 16);
static_assert(offsetof(CopyRange, elbrt) == 24 && offsetof(CopyRange, elbatm) == 30);
static_assert(std::is_trivially_copyable_v<CopyRange>);

}  // namespace nvublk::nvme::spec
