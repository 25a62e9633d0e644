#pragma once

// The commands of nvublk: asks the daemon, prints, and says how the program ends.

#include <string>
#include <vector>

namespace nvublk::service {

/// Runs `words` (argv without the program's name); returns the exit status: 0 done, 1 failed,
/// 2 wrong usage.
int run_command(const std::vector<std::string>& words);

}  // namespace nvublk::service
