#pragma once

// What VFIO needs to know of a PCI function before it can open it, from sysfs.

#include "engine/error.h"
#include "nvme/pci_address.h"

namespace nvublk::nvme::pcie {

/// The IOMMU group of the function at `address`; an error that says what to do where there is no
/// such function, it is not bound to vfio-pci, or there is no IOMMU.
Result<unsigned> vfio_group(const PciAddress& address);

}  // namespace nvublk::nvme::pcie
