#pragma once

// What VFIO needs to know of a PCI function before it can open it, from sysfs.

#include <string>

#include "engine/error.h"
#include "nvme/pci_address.h"
#include "nvme/transport.h"

namespace nvublk::nvme::pcie {

/// The IOMMU group of the function at `address`; an error that says what to do where there is no
/// such function, it is not bound to vfio-pci, or there is no IOMMU.
Result<unsigned> vfio_group(const PciAddress& address);

/// The character device of the function at `address`, "/dev/vfio/devices/vfio0"; empty where the
/// kernel makes none.
std::string vfio_node(const PciAddress& address,
                      const std::string& devices = "/sys/bus/pci/devices");

/// The address that BAR `bar` of the function at `address` has on the bus.
Result<std::uint64_t> bar_address(const PciAddress& address, unsigned bar,
                                  const std::string& devices = "/sys/bus/pci/devices");

/// What the function at `address` says it is; zeroes where there is none. `devices` is sysfs's
/// folder of all PCI functions.
PciIds pci_ids(const PciAddress& address, const std::string& devices = "/sys/bus/pci/devices");

}  // namespace nvublk::nvme::pcie
