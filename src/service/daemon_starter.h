#pragma once

// Starts nvublkd for the command line: detached, logging to a file of its run directory.

#include <string>

#include "engine/error.h"

namespace nvublk::service {

/// Where nvublkd is: beside this program, in ../sbin of it, or in PATH; fails if nowhere.
Result<std::string> find_daemon();

/// Starts it for `socket_path` and waits until it answers. An error is what the daemon said.
/// Success also when another one was faster.
Status start_daemon(const std::string& socket_path);

}  // namespace nvublk::service
