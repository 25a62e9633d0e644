#pragma once

// Who uses a ublk block device: mounts, swap, device mapper and RAID, loop devices, processes.

#include <string>

#include "engine/error.h"

namespace nvublk::ublk {

/// Where to look; tests have folders of their own.
struct SystemPaths {
  std::string proc = "/proc";
  std::string sys = "/sys";
  std::string dev = "/dev";
  std::string way_out = ", or use --force";  ///< what else a user of the disk may do
};

/// The kBusy error that names a user of the disk (such as "ublkb0") or of one of its partitions,
/// success if nobody uses it. Gives processes a second to close it, as udev and others look at
/// devices for a moment. Not for a shard.
Status check_unused(const std::string& disk, const SystemPaths& paths = {});
/// The kBusy error that names a process that has the character device open (such as "vfio/7"),
/// success if none has. Not for a shard.
Status check_not_open(const std::string& node, const SystemPaths& paths = {});

}  // namespace nvublk::ublk
