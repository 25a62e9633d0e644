#pragma once

// What the values of features mean, as the lines that nvme-cli's get-feature --human-readable
// writes. Pure.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace nvublk::service {

/// Lines for `feature` with this value and data; empty for one of which there is nothing to say.
/// [Base 2.1 §5.1.25.1]
std::string feature_bits(std::uint8_t feature, std::uint32_t value,
                         std::span<const std::byte> data);

}  // namespace nvublk::service
