#include "fuse/leftovers.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "fuse/holders.h"
#include "fuse/loop_device.h"
#include "fuse/mount.h"

namespace nvublk::fuse {

std::vector<Leftover> find_leftovers(const std::string& run_directory) {
  std::vector<Leftover> found;
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
      const std::string file = path + "/" + entry->path().filename().string();
      found.push_back({path, file, loop_devices_of(file)});
    }
  }
  std::ranges::sort(found, {}, &Leftover::mount_point);
  return found;
}

Status remove_leftover(const Leftover& leftover) {
  Status cleared = clear_loop_devices_of(leftover.file);
  remove_mount_point({leftover.mount_point, leftover.file});
  return is_mount_point(leftover.mount_point)
             ? fail(ErrorCode::kBusy, leftover.mount_point + " cannot be unmounted")
             : cleared;
}

}  // namespace nvublk::fuse
