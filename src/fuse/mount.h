#pragma once

// Mounting and unmounting an export's FUSE file system. Everything here may block: call it on a
// BlockingCall's thread only.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/fd.h"

namespace nvublk::fuse {

struct MountPoint {
  std::string directory;  ///< canonical: as the kernel prints it
  std::string file;       ///< the export's file in it
};

struct MountOptions {
  MountPoint at;
  std::uint32_t max_read_bytes = 0;
  bool read_only = false;
  unsigned queues = 1;
};

struct Mount {
  /// Non-blocking descriptors of the connection, one per queue.
  std::vector<UniqueFd> descriptors;
};

/// Loads kernel module `name` if it can; whether that helped shows in the next attempt.
void load_module(const char* name);

/// Opens the FUSE device; loads the module if need be. The error says what to do.
Result<UniqueFd> open_fuse_device();

/// Makes `run_directory`/`name`, the mount point; takes away what a crashed daemon left there.
Result<MountPoint> make_mount_point(const std::string& run_directory, const std::string& name);

enum class Served : std::uint8_t { kYes, kNot };
/// Whether the FUSE file system at this mount point still has its server.
Served is_served(const std::string& mount_point);

Result<Mount> mount_fuse(const MountOptions& options);

/// Unmounts, at once also if in use, and removes the directory. Nothing to do is no error.
void remove_mount_point(const MountPoint& at);

}  // namespace nvublk::fuse
