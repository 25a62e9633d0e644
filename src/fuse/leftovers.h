#pragma once

// FUSE mounts of ours whose server has died. Everything here may block.

#include <string>
#include <vector>

#include "engine/error.h"

namespace nvublk::fuse {

struct Leftover {
  std::string mount_point;
  std::string file;               ///< in it
  std::vector<int> loop_devices;  ///< on the file, by the number in /dev/loopN
};

/// The mount points right below `run_directory` that nobody serves any more.
std::vector<Leftover> find_leftovers(const std::string& run_directory);

/// Takes the mount away, and the loop devices, each as soon as its last user closes it.
Status remove_leftover(const Leftover& leftover);

}  // namespace nvublk::fuse
