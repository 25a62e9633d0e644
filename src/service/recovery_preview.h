#pragma once

// What a daemon would do about the rests of another, without one.

#include <string>

#include "service/json.h"

namespace nvublk::service {

/// The report of a recovery that a daemon with `run_directory` would begin with; nothing is
/// changed. Blocks.
Json preview_recovery(const std::string& run_directory);

}  // namespace nvublk::service
