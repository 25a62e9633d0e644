#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/error.h"

namespace nvublk::service {

/// The bytes that `text` has in hexadecimal digits; an error that names `option` and does not show
/// the text.
Result<std::vector<std::byte>> from_hex(const std::string& text, const char* option);

}  // namespace nvublk::service
