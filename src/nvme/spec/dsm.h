#pragma once

// Dataset Management. [NVM 1.1 §3.3.3]

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"

namespace nvublk::nvme::spec {

/// One range; `nlb` counts blocks and is not 0's based. [NVM 1.1 §3.3.3]
struct DsmRange {
  Le32 cattr;  ///< context attributes, hints only
  Le32 nlb;    ///< blocks
  Le64 slba;   ///< first block
};

static_assert(sizeof(DsmRange) == 16);
static_assert(offsetof(DsmRange, nlb) == 4 && offsetof(DsmRange, slba) == 8);
static_assert(std::is_trivially_copyable_v<DsmRange>);

/// NR has 8 bits, 0's based.
inline constexpr std::uint32_t kDsmMaxRanges = 256;

///@{
/// Bits of cdw11. [NVM 1.1 §3.3.3]
inline constexpr std::uint32_t kDsmIntegralRead = 1u << 0;
inline constexpr std::uint32_t kDsmIntegralWrite = 1u << 1;
inline constexpr std::uint32_t kDsmDeallocate = 1u << 2;
///@}

}  // namespace nvublk::nvme::spec
