#pragma once

// Counters of 128 bits, which JSON libraries have no type for. Between the daemon and its clients
// they are numbers while 64 bits are enough, and decimal strings above; nvublk prints them as plain
// numbers whatever their size, as nvme-cli does.

#include <string>

#include "engine/endian.h"
#include "service/json.h"

namespace nvublk::service {

std::string wide_text(const Le128& value);
Json wide_number(const Le128& value);

/// As to_pretty(), with the fields that are 128 bits wide as numbers.
std::string to_pretty_wide(const Json& report);

}  // namespace nvublk::service
