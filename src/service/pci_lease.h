#pragma once

// A drive of this machine that an attachment takes from the kernel, and gives back when it ends.
// For other transports it has nothing to do. Control-shard-affine.

#include <functional>
#include <optional>
#include <string>
#include <utility>

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
  /// What returns_to() was for the daemon before this one, if that has taken the drive.
  void continue_from(std::optional<std::string> earlier) { returns_to_ = std::move(earlier); }
  /// The driver that the drive came from and goes back to, empty if it had none; nothing, if it was
  /// not taken or is to stay as it is.
  const std::optional<std::string>& returns_to() const { return returns_to_; }
  /// Whether it is left with vfio-pci in the end.
  void keep(bool keep) { keep_ = keep; }
  /// Gives the drive that `id` names back, if it was taken; `done` may run from within this call.
  void give_back(const nvme::TransportId& id, std::function<void()> done);

 private:
  BlockingCall binding_;
  std::optional<std::string> returns_to_;
  bool keep_ = false;
};

}  // namespace nvublk::service
