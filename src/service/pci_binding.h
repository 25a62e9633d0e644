#pragma once

// Gives a PCI function to vfio-pci and back to the kernel. Blocks: not for a shard.

#include <string>

#include "engine/error.h"
#include "nvme/pci_address.h"
#include "service/pci_devices.h"

namespace nvublk::service {

/// What a function was before it was taken.
struct PciOrigin {
  nvme::PciAddress address;
  std::string driver;    ///< empty: none
  bool changed = false;  ///< false: it was bound to vfio-pci already, and stays so
};

/// Binds the controller at `address` to vfio-pci. Refuses one that is in use, and names its user.
Result<PciOrigin> bind_to_vfio(const nvme::PciAddress& address, const PciPaths& paths = {});
/// Back to the driver that it came from.
Status give_back(const PciOrigin& origin, const PciPaths& paths = {});
/// From vfio-pci back to whatever driver of the kernel wants it. Refuses one that is in use.
Status unbind_from_vfio(const nvme::PciAddress& address, const PciPaths& paths = {});

}  // namespace nvublk::service
