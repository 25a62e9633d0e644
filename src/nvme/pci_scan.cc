#include "nvme/pci_scan.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "engine/numa.h"

namespace nvublk::nvme {

namespace {

// Mass storage, non-volatile memory, NVMe. [PCIe 1.1 §2.1]
constexpr std::string_view kNvmeClass = "0x010802";

}  // namespace

std::vector<PciAddress> find_pci_controllers(const std::string& sysfs) {
  std::vector<PciAddress> found;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(sysfs + "/bus/pci/drivers/vfio-pci", error)) {
    const auto address = PciAddress::parse(entry.path().filename().string());
    if (!address) {
      continue;
    }
    std::ifstream file(entry.path() / "class");
    std::string pci_class;
    if (std::getline(file, pci_class) && pci_class.starts_with(kNvmeClass)) {
      found.push_back(*address);
    }
  }
  std::ranges::sort(found);
  return found;
}

bool pci_function_present(const PciAddress& address, const std::string& sysfs) {
  std::error_code error;
  return std::filesystem::exists(sysfs + "/bus/pci/devices/" + address.to_string(), error);
}

int pci_numa_node(const PciAddress& address, const std::string& sysfs) {
  std::ifstream file(sysfs + "/bus/pci/devices/" + address.to_string() + "/numa_node");
  int node = kNoNumaNode;
  return file >> node && node >= 0 ? node : kNoNumaNode;
}

}  // namespace nvublk::nvme
