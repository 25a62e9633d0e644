#include "service/dead_mounts.h"

#include <algorithm>

#include "fuse/leftovers.h"
#include "fuse/loop_device.h"

namespace nvublk::service {

std::vector<Orphan> find_dead_mounts(const std::string& run_directory, bool clean) {
  std::vector<Orphan> all;
  for (const fuse::Leftover& leftover : fuse::find_leftovers(run_directory)) {
    std::vector<Orphan> found = {{Orphan::Kind::kMount, -1, leftover.mount_point, "",
                                  leftover.mount_point + " is a FUSE mount whose daemon is gone"}};
    for (const int number : leftover.loop_devices) {
      const std::string path = fuse::loop_device_path(number);
      found.push_back({Orphan::Kind::kLoop, number, path, "",
                       path + " is on " + leftover.file + ", whose daemon is gone"});
    }
    if (clean) {
      const Status removed = fuse::remove_leftover(leftover);
      for (Orphan& orphan : found) {
        orphan.cleaned = removed.has_value();
        orphan.reason += removed ? "" : "; " + removed.error().text;
      }
    }
    std::ranges::move(found, std::back_inserter(all));
  }
  return all;
}

}  // namespace nvublk::service
