#pragma once

// Reports of the daemon as text for people. Pure: JSON in, text out.

#include <cstdint>
#include <string>
#include <vector>

#include "service/json.h"

namespace nvublk::service {

/// Rows of cells as aligned columns, two blanks between them; the first row is the heading.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

/// 1073741824 to "1.07 GB", as nvme-cli writes sizes: powers of 1000, two decimals.
std::string format_size(std::uint64_t bytes);
/// 61250 to "61.2 s", 800 to "800 ms".
std::string format_milliseconds(std::uint64_t count);

/// A line for each device that "attach" made, its path first.
std::string attach_text(const Json& report);
std::string set_text(const Json& report);
std::string list_text(const Json& report);
std::string status_text(const Json& report);
std::string recover_text(const Json& report);
std::string features_text(const Json& report);

}  // namespace nvublk::service
