#pragma once

// FUSE mounts of a daemon that died, as what a recovery reports and cleans.

#include <string>
#include <vector>

#include "service/recovery_plan.h"

namespace nvublk::service {

/// The dead mounts below `run_directory`, each followed by the loop devices on it; with `clean`
/// they are taken away. Blocks.
std::vector<Orphan> find_dead_mounts(const std::string& run_directory, bool clean);

}  // namespace nvublk::service
