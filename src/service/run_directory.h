#pragma once

// The directories that a daemon needs: that of its socket, and its run directory.

#include <string>

#include "engine/error.h"

namespace nvublk::service {

///@{
/// Makes the directory that the socket is in, or the run directory, if it is missing. One level and
/// no other, so that a mistyped path does not become a tree: kInvalidArgument says which directory
/// is missing.
Status make_socket_directory(const std::string& socket_path);
Status make_run_directory(const std::string& run_directory);
///@}

/// Whether this user can start a daemon at `socket_path`, with the run directory that goes with it;
/// nothing is changed. Errors: as above, and kPermission with what to do.
Status check_directories(const std::string& socket_path);

}  // namespace nvublk::service
