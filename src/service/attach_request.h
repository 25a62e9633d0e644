#pragma once

// What a user asks for with "attach": as the command line makes it and as the daemon reads it from
// the parameters of the JSON-RPC method.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "nvme/controller_options.h"
#include "nvme/transport_id.h"
#include "service/json.h"

namespace nvublk::service {

enum class FrontendWish : std::uint8_t { kAuto, kUblk, kFuse };
/// "auto", "ublk", "fuse".
std::string_view frontend_wish_name(FrontendWish wish);

struct AttachRequest {
  nvme::ControllerOptions controller = defaults();  ///< all but the default name and the identity
  std::string hostnqn;                              ///< empty: the machine's
  std::string hostid;                               ///< empty: the machine's
  std::vector<std::uint32_t> nsids;                 ///< empty: all active ones
  FrontendWish frontend = FrontendWish::kAuto;
  int first_id = -1;    ///< number of the first device, further ones count up; -1: any
  unsigned queues = 0;  ///< of each device; 0: one per I/O queue
  unsigned depth = 128;
  bool read_only = false;
  bool hotplug = false;  ///< a local drive that was pulled out is taken again when it is back

  /// What is attached, by name: the subsystem's NQN, or the address of a local drive.
  const std::string& subject() const;
  /// Checks ranges and what belongs together.
  Status check() const;
  /// With the keys, if there are any.
  Json to_params() const;
  static Result<AttachRequest> from_params(const Json& params);

 private:
  /// Those of Linux's initiator, where the library has SPDK's.
  static nvme::ControllerOptions defaults();
};

/// Whether `name` may name a controller: letters, digits, '_', '-', '.', at most 32, and nothing
/// that could be taken for a path or an NQN.
Status check_controller_name(std::string_view name);

}  // namespace nvublk::service
