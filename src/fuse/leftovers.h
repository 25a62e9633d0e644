#pragma once

// FUSE mounts of ours whose server has died. Everything here may block.

#include <string>
#include <vector>

namespace nvublk::fuse {

/// The mount points right below `run_directory` that nobody serves any more.
std::vector<std::string> find_leftovers(const std::string& run_directory);

/// Takes the mount away, and the loop device on its file, as soon as the last user closes it.
void remove_leftover(const std::string& mount_point);

}  // namespace nvublk::fuse
