#include "ublk/devices.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include <dirent.h>

#include "ublk/control_session.h"
#include "ublk/explain.h"

namespace nvublk::ublk {

namespace {

/// The ids of the nodes /dev/ublkcN, as sysfs has them.
std::vector<std::uint32_t> list_ids() {
  constexpr std::string_view kPrefix = "ublkc";
  std::vector<std::uint32_t> ids;
  DIR* folder = ::opendir("/sys/class/ublk-char");
  if (folder == nullptr) {
    return ids;
  }
  while (const dirent* entry = ::readdir(folder)) {
    const std::string_view name = entry->d_name;
    std::uint32_t id = 0;
    if (name.starts_with(kPrefix) &&
        std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), id).ptr ==
            name.data() + name.size()) {
      ids.push_back(id);
    }
  }
  ::closedir(folder);
  std::sort(ids.begin(), ids.end());
  return ids;
}

DeviceState state_of(std::uint16_t state) {
  switch (state) {
    case abi::kStateLive:
      return DeviceState::kLive;
    case abi::kStateQuiesced:
      return DeviceState::kQuiesced;
    case abi::kStateFailIo:
      return DeviceState::kFailing;
    default:
      return DeviceState::kDead;
  }
}

DeviceSummary summary_of(const abi::DeviceInfo& info) {
  DeviceSummary summary;
  summary.id = info.dev_id;
  summary.state = state_of(info.state);
  summary.mark = DeviceMark::read(info.ublksrv_flags);
  summary.server_pid = info.ublksrv_pid;
  summary.queues = info.nr_hw_queues;
  summary.depth = info.queue_depth;
  return summary;
}

}  // namespace

const char* device_state_name(DeviceState state) {
  switch (state) {
    case DeviceState::kDead:
      return "dead";
    case DeviceState::kLive:
      return "live";
    case DeviceState::kQuiesced:
      return "quiesced";
    case DeviceState::kFailing:
      return "failing";
  }
  return "unknown";
}

Result<std::vector<DeviceSummary>> list_devices() {
  std::vector<DeviceSummary> devices;
  const std::vector<std::uint32_t> ids = list_ids();
  if (ids.empty()) {
    return devices;
  }
  auto session = ControlSession::open();
  if (!session) {
    return std::unexpected(std::move(session.error()));
  }
  for (const std::uint32_t id : ids) {
    ControlRequest request = info_request(id);
    const auto result = (*session)->run(request, seconds(5));
    if (!result) {
      return std::unexpected(result.error());
    }
    // Devices may go while we look.
    if (*result == 0) {
      devices.push_back(summary_of(request.get<abi::DeviceInfo>()));
    }
  }
  return devices;
}

Status delete_device(std::uint32_t id, Duration limit) {
  const Instant deadline = Clock::now() + limit;
  auto session = ControlSession::open();
  if (!session) {
    return std::unexpected(std::move(session.error()));
  }
  const std::string name = "/dev/ublkb" + std::to_string(id);
  for (const std::uint32_t command : {abi::kStopDev, abi::kDelDevAsync}) {
    ControlRequest request = device_request(command, id);
    const auto result = (*session)->run(request, deadline - Clock::now());
    if (!result) {
      return fail(result.error().code, "cannot delete " + name + ": " + result.error().text);
    }
    if (*result == -ENODEV) {
      return fail(ErrorCode::kNotFound, name + " does not exist");
    }
    if (*result < 0) {
      return fail_errno(-*result, "cannot delete " + name);
    }
  }
  return {};
}

}  // namespace nvublk::ublk
