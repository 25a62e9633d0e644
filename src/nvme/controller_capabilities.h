#pragma once

// Which log pages and features a controller has. Pure.

#include <bitset>
#include <cstddef>
#include <span>

#include "nvme/spec/identify.h"

namespace nvublk::nvme {

/// By log page identifier, or by feature identifier.
using SupportedSet = std::bitset<256>;

/// What Identify Controller says of a controller that cannot list its log pages.
/// [Base 2.1 §5.1.12, §3.1.3.5]
SupportedSet assumed_log_pages(const spec::IdentifyController& identify);
/// The same for features. [Base 2.1 §5.1.25, §3.1.3.6]
SupportedSet assumed_features(const spec::IdentifyController& identify);

/// Reads Supported Log Pages or Feature Identifiers Supported and Effects, 1024 bytes: bit 0 of
/// each entry. [Base 2.1 §5.1.12.1.1, §5.1.12.1.18]
SupportedSet decode_supported(std::span<const std::byte> page);

}  // namespace nvublk::nvme
