#pragma once

// From the zones that a back-end reports to what the kernel wants to read. Pure.

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/block.h"
#include "ublk/ublk_abi.h"

namespace nvublk::ublk {

/// Turns the `count` BlockZones at the start of `buffer` into abi::Zones, in place; returns how
/// many bytes those are. `buffer` has room for them.
std::size_t encode_zones(std::span<std::byte> buffer, std::uint32_t count,
                         std::uint32_t block_size_bytes, std::uint64_t zone_blocks);

}  // namespace nvublk::ublk
