#include "service/recovery.h"

#include <algorithm>
#include <utility>

#include <unistd.h>

#include "engine/log.h"
#include "service/dead_mounts.h"
#include "service/reports.h"
#include "service/state_file.h"
#include "ublk/devices.h"

namespace nvublk::service {

namespace {

constexpr char kSubsystem[] = "recovery";

struct Findings {
  std::vector<Orphan> orphans;
  std::vector<std::string> problems;
};

/// On a thread of its own: the driver may have to be waited for.
Findings look_around(const std::string& run_directory, const std::vector<KnownDevice>& known,
                     bool clean) {
  Findings findings;
  if (const auto devices = ublk::list_devices(); devices) {
    findings.orphans = find_orphans(*devices, known, ublk::owner_of(run_directory), ::getpid());
  } else {
    findings.problems.push_back("the ublk devices cannot be listed: " + devices.error().text);
  }
  for (Orphan& orphan : findings.orphans) {
    if (!clean) {
      continue;
    }
    if (Status deleted = ublk::delete_device(static_cast<std::uint32_t>(orphan.id)); deleted) {
      orphan.cleaned = true;
    } else {
      orphan.reason += "; " + deleted.error().text;
    }
  }
  std::ranges::move(find_dead_mounts(run_directory, clean), std::back_inserter(findings.orphans));
  return findings;
}

}  // namespace

Recovery::Recovery(Shard& control, Attachments& attachments, std::string run_directory)
    : attachments_(attachments), run_directory_(std::move(run_directory)), looking_(control) {}

void Recovery::begin() {
  const std::string path = state_path_of(run_directory_);
  FoundState found = read_state_file(path);
  if (!found.problem.empty()) {
    keep_aside(path, found.problem);
    log_error(kSubsystem, found.problem + "; 'nvublk recover' shows what is left behind");
    problems_.push_back(found.problem);
  }
  clean_mounts();
  RecoveryPlan plan;
  if (const auto devices = ublk::list_devices(); devices) {
    plan = plan_recovery(found.state, *devices, ublk::owner_of(run_directory_));
  } else {
    log_error(kSubsystem, "the ublk devices cannot be listed: " + devices.error().text);
    plan.resumable = std::move(found.state.attachments);
  }
  for (Orphan& orphan : plan.orphans) {
    log_warning(kSubsystem, orphan.reason + "; see 'nvublk recover'");
    if (orphan.kind == Orphan::Kind::kState) {
      noted_.push_back(std::move(orphan));
    }
  }
  give_back_drives(plan.drives);
  // From the first command on the file may not say any more that there is none.
  SavedState state{false, std::move(plan.resumable)};
  if (Status written = write_state_file(path, state); !written) {
    log_error(kSubsystem, written.error().text);
  }
  state.quiet = found.state.quiet;
  resume(state);
}

// Those that stay are found again by every report.
void Recovery::clean_mounts() {
  for (Orphan& orphan : find_dead_mounts(run_directory_, true)) {
    log_warning(kSubsystem, orphan.reason + (orphan.cleaned ? "; taken away" : ""));
    if (orphan.cleaned) {
      noted_.push_back(std::move(orphan));
    }
  }
}

void Recovery::give_back_drives(const std::vector<PciOrigin>& drives) {
  for (const PciOrigin& drive : drives) {
    Orphan orphan = drive_orphan(drive);
    log_warning(kSubsystem, orphan.reason);
    if (Status given = give_back(drive); !given) {
      problems_.push_back(given.error().text);
      log_error(kSubsystem, problems_.back());
      continue;
    }
    orphan.cleaned = true;
    noted_.push_back(std::move(orphan));
  }
}

void Recovery::resume(const SavedState& state) {
  for (const SavedAttachment& saved : state.attachments) {
    std::string names;
    for (const SavedDevice& device : saved.devices) {
      names += (names.empty() ? "" : ", ") + device.path();
    }
    log_info(kSubsystem, "resuming " + names + " of " + saved.request.controller.name);
    if (Status begun = attachments_.resume(saved, state.quiet); !begun) {
      problems_.push_back(saved.request.controller.name +
                          " cannot be resumed: " + begun.error().text);
      log_error(kSubsystem, problems_.back());
    }
  }
}

Json Recovery::devices_json() const {
  Json devices = Json::array();
  const Json report = list_report(attachments_);
  for (const Json& device : report["devices"]) {
    devices.push_back({{"device", device["device"]},
                       {"name", device["name"]},
                       {"state", device["state"]},
                       {"reason", device["reason"]}});
  }
  return devices;
}

void Recovery::report(bool clean, std::function<void(Result<Json>)> done) {
  if (looking_.busy()) {
    done(fail(ErrorCode::kBusy, "a recovery is just being looked at; try again"));
    return;
  }
  std::vector<KnownDevice> known;
  for (Attachment* attachment : attachments_.list()) {
    if (clean) {
      attachment->resume_now();
    }
    for (const Attachment::Device* device : attachment->devices()) {
      const BlockExportInfo info = device->info();
      known.emplace_back(info.id, info.key);
    }
  }
  looking_.start([directory = run_directory_, known = std::move(known),
                  clean] { return look_around(directory, known, clean); },
                 [this, clean, done = std::move(done)](Findings findings) {
                   std::vector<Orphan> orphans = noted_;
                   for (Orphan& orphan : orphans) {
                     orphan.cleaned = orphan.cleaned || clean;
                   }
                   std::ranges::move(findings.orphans, std::back_inserter(orphans));
                   std::vector<std::string> problems = problems_;
                   std::ranges::move(findings.problems, std::back_inserter(problems));
                   if (clean) {
                     noted_.clear();
                     problems_.clear();
                   }
                   done(recovery_report(devices_json(), orphans, problems));
                 });
}

}  // namespace nvublk::service
