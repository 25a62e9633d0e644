#pragma once

// The ublk devices of this machine, whoever made them: for cleaning up after a server that died.

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/error.h"
#include "engine/time.h"
#include "ublk/device_mark.h"

namespace nvublk::ublk {

enum class DeviceState : std::uint8_t { kDead, kLive, kQuiesced, kFailing };

/// "dead", "live", "quiesced" or "failing".
const char* device_state_name(DeviceState state);

struct DeviceSummary {
  std::uint32_t id = 0;
  DeviceState state = DeviceState::kDead;
  std::optional<DeviceMark> mark;  ///< of a device that this program has made
  std::int32_t server_pid = 0;     ///< of the server that made or recovered it, -1: gone
  unsigned queues = 0;
  unsigned depth = 0;
};

/// All ublk devices, by id. Empty where there is no ublk driver. Blocks for a moment; any thread.
Result<std::vector<DeviceSummary>> list_devices();

/// Stops and deletes a device whose server is gone; requests that wait for it fail. Blocks until
/// it is done or `limit` has passed: not on a shard that serves I/O.
Status delete_device(std::uint32_t id, Duration limit = seconds(30));

}  // namespace nvublk::ublk
