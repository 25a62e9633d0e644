#pragma once

// Drives that come: the kernel's messages about PCI functions, and what follows for attachments
// that asked for it (--hotplug). That a drive goes, its controller notices itself.
// Control-shard-affine.

#include <memory>
#include <optional>
#include <string_view>

#include "engine/error.h"
#include "engine/fd.h"
#include "engine/fd_watch.h"
#include "nvme/pci_address.h"
#include "service/attachments.h"

namespace nvublk::service {

/// The PCI function that a message of the kernel says has come, or has a driver of the kernel now;
/// nothing for any other message.
std::optional<nvme::PciAddress> arrived_function(std::string_view message);

class Hotplug {
 public:
  /// `attachments` outlives it. An error when the kernel does not let us listen.
  static Result<std::unique_ptr<Hotplug>> start(Reactor& reactor, Attachments& attachments);
  Hotplug(const Hotplug&) = delete;
  Hotplug& operator=(const Hotplug&) = delete;

 private:
  Hotplug(Reactor& reactor, Attachments& attachments, UniqueFd socket);
  void receive();

  Attachments& attachments_;
  const UniqueFd socket_;
  FdWatch watch_;
};

}  // namespace nvublk::service
