#include "fuse/leftovers.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "fuse/holders.h"
#include "fuse/loop_device.h"
#include "fuse/mount.h"

namespace nvublk::fuse {

std::vector<std::string> find_leftovers(const std::string& run_directory) {
  std::vector<std::string> found;
  std::error_code error;
  const std::filesystem::path directory = std::filesystem::canonical(run_directory, error);
  if (error) {
    return found;
  }
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    // Not a question to the file system that is mounted there: without a server it has no answer.
    const std::string path = entry->path();
    if (is_mount_point(path) && is_served(path) == Served::kNot) {
      found.push_back(path);
    }
  }
  std::ranges::sort(found);
  return found;
}

void remove_leftover(const std::string& mount_point) {
  const std::string name = std::filesystem::path(mount_point).filename();
  clear_loop_devices_of(mount_point + "/" + name);
  remove_mount_point({mount_point, mount_point + "/" + name});
}

}  // namespace nvublk::fuse
