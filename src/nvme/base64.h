#pragma once

// Bytes as text: keys, and data in JSON. [RFC 4648 §4]

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nvublk::nvme {

std::string to_base64(std::span<const std::byte> bytes);
/// Nothing when `text` is not the padded form that to_base64() writes.
std::optional<std::vector<std::byte>> from_base64(std::string_view text);

}  // namespace nvublk::nvme
