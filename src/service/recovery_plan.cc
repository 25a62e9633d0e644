#include "service/recovery_plan.h"

#include <algorithm>
#include <utility>

namespace nvublk::service {

namespace {

const ublk::DeviceSummary* find_device(const std::vector<ublk::DeviceSummary>& devices,
                                       const SavedDevice& saved, std::uint16_t owner) {
  const auto found = std::ranges::find_if(devices, [&](const ublk::DeviceSummary& device) {
    return device.id == static_cast<std::uint32_t>(saved.id) &&
           device.mark == ublk::DeviceMark{owner, saved.key};
  });
  return found == devices.end() ? nullptr : &*found;
}

/// Why the device cannot be resumed, empty if it can.
std::string obstacle(const ublk::DeviceSummary* device, const SavedDevice& saved) {
  if (device == nullptr) {
    return saved.path() + " is not there any more, or is another device now";
  }
  return device->state == ublk::DeviceState::kDead ? saved.path() + " was never started" : "";
}

}  // namespace

const char* orphan_kind_name(Orphan::Kind kind) {
  switch (kind) {
    case Orphan::Kind::kDevice:
      return "device";
    case Orphan::Kind::kState:
      return "state";
    case Orphan::Kind::kMount:
      return "mount";
    case Orphan::Kind::kLoop:
      return "loop";
    case Orphan::Kind::kDrive:
      return "drive";
  }
  return "unknown";
}

Json orphan_json(const Orphan& orphan) {
  Json json;
  json["kind"] = orphan_kind_name(orphan.kind);
  json["path"] = orphan.path;
  json["name"] = orphan.name;
  json["reason"] = orphan.reason;
  json["cleaned"] = orphan.cleaned;
  return json;
}

Orphan drive_orphan(const PciOrigin& drive) {
  const std::string address = drive.address.to_string();
  return {Orphan::Kind::kDrive, -1, address, "",
          address + " has no device any more and goes back to " +
              (drive.driver.empty() ? "the kernel" : drive.driver)};
}

Json recovery_report(Json devices, const std::vector<Orphan>& orphans,
                     const std::vector<std::string>& problems) {
  Json report;
  report["devices"] = std::move(devices);
  report["orphans"] = Json::array();
  for (const Orphan& orphan : orphans) {
    report["orphans"].push_back(orphan_json(orphan));
  }
  report["problems"] = problems;
  return report;
}

RecoveryPlan plan_recovery(const SavedState& state, const std::vector<ublk::DeviceSummary>& devices,
                           std::uint16_t owner) {
  RecoveryPlan plan;
  std::vector<KnownDevice> known;
  for (const SavedAttachment& saved : state.attachments) {
    SavedAttachment left = saved;
    left.devices.clear();
    for (const SavedDevice& device : saved.devices) {
      const std::string why = obstacle(find_device(devices, device, owner), device);
      if (why.empty()) {
        known.emplace_back(device.id, device.key);
        left.devices.push_back(device);
      } else {
        plan.orphans.push_back({Orphan::Kind::kState, device.id, device.path(), device.name, why});
      }
    }
    if (!left.devices.empty()) {
      plan.resumable.push_back(std::move(left));
    } else if (const nvme::TransportId& id = saved.request.controller.transport.id;
               saved.drive_returns_to && !id.is_fabrics()) {
      if (const auto address = nvme::PciAddress::parse(id.traddr); address) {
        plan.drives.push_back({*address, *saved.drive_returns_to, true});
      }
    }
  }
  std::ranges::move(find_orphans(devices, known, owner, 0), std::back_inserter(plan.orphans));
  return plan;
}

std::vector<Orphan> find_orphans(const std::vector<ublk::DeviceSummary>& devices,
                                 const std::vector<KnownDevice>& known, std::uint16_t owner,
                                 int pid) {
  std::vector<Orphan> orphans;
  for (const ublk::DeviceSummary& device : devices) {
    if (!device.mark || device.mark->owner != owner || (pid > 0 && device.server_pid == pid)) {
      continue;
    }
    const KnownDevice id{static_cast<int>(device.id), device.mark->key};
    if (std::ranges::find(known, id) == known.end()) {
      const std::string path = "/dev/ublkb" + std::to_string(device.id);
      orphans.push_back({Orphan::Kind::kDevice, id.first, path, "",
                         path + " (" + ublk::device_state_name(device.state) +
                             ") was left by a daemon, but its state file does not have it"});
    }
  }
  return orphans;
}

}  // namespace nvublk::service
