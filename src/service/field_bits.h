#pragma once

// What the bits of Identify fields mean, as the lines that nvme-cli's --human-readable adds below
// the field. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "service/json.h"

namespace nvublk::service {

/// Lines for field `key` of Identify Controller with this value, an empty line last; empty for
/// fields whose value says it all. [Base 2.1 §5.1.13.2.1]
std::string controller_field_bits(std::string_view key, const Json& value);
/// The same for Identify Namespace. [NVM 1.1 §4.1.5.1]
std::string namespace_field_bits(std::string_view key, const Json& value);

}  // namespace nvublk::service
