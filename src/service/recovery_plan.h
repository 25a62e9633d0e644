#pragma once

// What a daemon that starts does with what another has left: pure.

#include <cstdint>
#include <string>
#include <vector>

#include "service/json.h"
#include "service/pci_binding.h"
#include "service/saved_state.h"
#include "ublk/devices.h"

namespace nvublk::service {

/// A rest of a daemon that died, which nobody will use any more.
struct Orphan {
  enum class Kind : std::uint8_t {
    kDevice,  ///< a ublk device of ours that the state does not have
    kState,   ///< a device of the state that is not there
    kMount,   ///< a FUSE mount without a server
    kLoop,    ///< a loop device on such a mount's file
    kDrive,   ///< a local drive that no device is left of
  };
  Kind kind = Kind::kDevice;
  int id = -1;         ///< of a device
  std::string path;    ///< "/dev/ublkb0", "/dev/loop0", a mount point, or a PCI address
  std::string name;    ///< "nvublk0n1"; empty if it is not known
  std::string reason;  ///< a sentence
  bool cleaned = false;
  bool operator==(const Orphan&) const = default;
};

/// "device", "state", "mount", "loop" or "drive".
const char* orphan_kind_name(Orphan::Kind kind);
Json orphan_json(const Orphan& orphan);
/// Of a drive of RecoveryPlan.
Orphan drive_orphan(const PciOrigin& drive);

/// What recover says: {"devices","orphans","problems"}.
Json recovery_report(Json devices, const std::vector<Orphan>& orphans,
                     const std::vector<std::string>& problems);

struct RecoveryPlan {
  std::vector<SavedAttachment> resumable;  ///< with the devices that are there
  std::vector<Orphan> orphans;
  std::vector<PciOrigin> drives;  ///< local ones that no device is left of: to be given back
};

/// `owner` is ublk::owner_of() this daemon, whose earlier self is dead or dying.
RecoveryPlan plan_recovery(const SavedState& state, const std::vector<ublk::DeviceSummary>& devices,
                           std::uint16_t owner);

/// A device of this daemon, by its number and key.
using KnownDevice = std::pair<int, std::uint16_t>;

/// The devices of `owner` that are not among `known` and whose server is not process `pid`.
std::vector<Orphan> find_orphans(const std::vector<ublk::DeviceSummary>& devices,
                                 const std::vector<KnownDevice>& known, std::uint16_t owner,
                                 int pid);

}  // namespace nvublk::service
