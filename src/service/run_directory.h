#pragma once

// The directories that a daemon needs: that of its socket, and its run directory.

#include <string>

#include "engine/error.h"

namespace nvublk::service {

/// Makes what a daemon makes of them: /run/nvublk if the socket is to be there, and the run
/// directory. One level each and no other, so that a mistyped path does not become a tree:
/// kInvalidArgument says which directory is missing.
Status make_directories(const std::string& socket_path, const std::string& run_directory);

/// Whether this user can start a daemon at `socket_path`, with the run directory that goes with it;
/// nothing is changed. The errors are those of make_directories(), and kPermission with what to do.
Status check_directories(const std::string& socket_path);

}  // namespace nvublk::service
