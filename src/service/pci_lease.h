#pragma once

// A drive of this machine that an attachment takes from the kernel, and gives back when it ends.
// For other transports it has nothing to do. Control-shard-affine.

#include <functional>
#include <optional>

#include "engine/blocking_call.h"
#include "nvme/transport_id.h"
#include "service/pci_binding.h"

namespace nvublk::service {

class PciLease {
 public:
  explicit PciLease(Shard& control) : binding_(control) {}

  /// Takes the drive that `id` names again, whoever has it now; blocks. For other transports null.
  static std::function<Status()> taking(const nvme::TransportId& id);
  /// Takes the drive that `id` names, if it is one. `done` may run from within this call.
  void take(const nvme::TransportId& id, std::function<void(Status status)> done);
  /// Whether it is left with vfio-pci in the end.
  void keep(bool keep) { keep_ = keep; }
  /// Gives it back, if it was taken; `done` may run from within this call.
  void give_back(std::function<void()> done);

 private:
  BlockingCall binding_;
  std::optional<PciOrigin> origin_;
  bool keep_ = false;
};

}  // namespace nvublk::service
