#pragma once

// Where a daemon listens, and what else it keeps there. Everything follows from the socket's path,
// so that daemons with different sockets share nothing.

#include <string>

#include "engine/error.h"

namespace nvublk::service {

inline constexpr char kDefaultSocket[] = "/run/nvublk/nvublk.sock";

/// $NVUBLK_SOCKET if that is set, else the default.
std::string default_socket_path();

/// The directory for a daemon's files: that of the default socket, or the path of any other socket
/// with ".d" after it.
std::string run_directory_of(const std::string& socket_path);

/// `path` from the root on; one that is relative belongs to the current directory.
std::string absolute_path(const std::string& path);

/// Whether a Unix socket can have this path: absolute, and short enough for the kernel.
Status check_socket_path(const std::string& path);

}  // namespace nvublk::service
