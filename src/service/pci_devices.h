#pragma once

// The PCI functions that are NVMe controllers, as sysfs shows them: who drives them, and who uses
// their disks. May block for a moment: not for a shard.

#include <string>
#include <vector>

#include "engine/error.h"
#include "nvme/pci_address.h"

namespace nvublk::service {

/// Where to look; tests have folders of their own.
struct PciPaths {
  std::string sys = "/sys";
  std::string proc = "/proc";
  std::string dev = "/dev";
};

struct PciDevice {
  nvme::PciAddress address;
  std::string vendor_id;  ///< "8086", hexadecimal
  std::string device_id;
  std::string model;   ///< of the controller while a driver of the kernel has it, else empty
  std::string serial;  ///< likewise
  std::string driver;  ///< empty: none
  int iommu_group = -1;
  int numa_node = -1;
  std::vector<std::string> disks;         ///< "nvme0n1"
  std::vector<std::string> nodes;         ///< "ng0n1", "vfio/7": open in a process that uses it
  std::vector<std::string> group_others;  ///< other functions of the group that a driver has
};

/// All NVMe controllers, in the order of their addresses.
std::vector<PciDevice> list_pci_devices(const PciPaths& paths = {});
/// The controller at `address`; an error if there is no function, or it is something else.
Result<PciDevice> find_pci_device(const nvme::PciAddress& address, const PciPaths& paths = {});
/// Who uses `device`, as a sentence; empty if nobody does.
std::string pci_device_user(const PciDevice& device, const PciPaths& paths = {});

}  // namespace nvublk::service
