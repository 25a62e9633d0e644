#pragma once

// Who uses a block device or a mount: for the sentence that refuses to take it away. Reads /proc
// and /sys; call it on a BlockingCall's thread only.

#include <string>
#include <vector>

namespace nvublk::fuse {

struct Holders {
  /// Mounts, swap, stacked devices: "mounted on /mnt".
  std::vector<std::string> lasting;
  /// Processes that have it open, perhaps for a moment only: "open in fio (pid 12)".
  std::vector<std::string> processes;

  bool empty() const { return lasting.empty() && processes.empty(); }
  /// All of them, separated by commas.
  std::string text() const;
};

/// Whether something is mounted on exactly `directory`, in this mount namespace.
bool is_mount_point(const std::string& directory);

/// Who holds block device `name` ("loop3"; none if empty) or its partitions, or has a file below
/// `directory` open.
Holders find_holders(const std::string& name, const std::string& directory);

/// Undoes the octal escapes of /proc/self/mountinfo.
std::string unescape_mount_field(std::string_view field);

}  // namespace nvublk::fuse
