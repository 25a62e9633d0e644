#pragma once

#include <string>
#include <vector>

#include "nvme/pci_address.h"

namespace nvublk::nvme {

/// The NVMe controllers of this machine that are bound to vfio-pci, in order of their addresses.
/// `sysfs` is where the kernel shows devices. Those that a driver of the kernel has are not ours.
std::vector<PciAddress> find_pci_controllers(const std::string& sysfs = "/sys");

/// Whether there is a function at `address`, whichever driver has it.
bool pci_function_present(const PciAddress& address, const std::string& sysfs = "/sys");

/// The memory node that the function at `address` is on, -1 where the kernel knows none: threads
/// and memory of its queues are best there.
int pci_numa_node(const PciAddress& address, const std::string& sysfs = "/sys");

}  // namespace nvublk::nvme
