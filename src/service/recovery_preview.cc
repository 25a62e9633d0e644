#include "service/recovery_preview.h"

#include <algorithm>
#include <utility>

#include "service/dead_mounts.h"
#include "service/recovery_plan.h"
#include "service/state_file.h"
#include "ublk/devices.h"

namespace nvublk::service {

namespace {

Json devices_json(const RecoveryPlan& plan) {
  Json devices = Json::array();
  for (const SavedAttachment& saved : plan.resumable) {
    for (const SavedDevice& device : saved.devices) {
      devices.push_back({{"device", device.path()},
                         {"name", device.name},
                         {"state", "recovering"},
                         {"reason", "no daemon runs; one that starts resumes it"}});
    }
  }
  return devices;
}

}  // namespace

Json preview_recovery(const std::string& run_directory) {
  const FoundState found = read_state_file(state_path_of(run_directory));
  std::vector<std::string> problems;
  if (!found.problem.empty()) {
    problems.push_back(found.problem);
  }
  RecoveryPlan plan;
  if (const auto devices = ublk::list_devices(); devices) {
    plan = plan_recovery(found.state, *devices, ublk::owner_of(run_directory));
  } else {
    plan.resumable = found.state.attachments;
    problems.push_back("the ublk devices cannot be listed: " + devices.error().text);
  }
  std::vector<Orphan> orphans = std::move(plan.orphans);
  std::ranges::move(find_dead_mounts(run_directory, false), std::back_inserter(orphans));
  std::ranges::transform(plan.drives, std::back_inserter(orphans), drive_orphan);
  return recovery_report(devices_json(plan), orphans, problems);
}

}  // namespace nvublk::service
