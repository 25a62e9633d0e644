#include "service/pci_devices.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "nvme/pci_scan.h"
#include "ublk/holders.h"

namespace nvublk::service {

namespace {

namespace fs = std::filesystem;

// Mass storage, non-volatile memory; the programming interface says that it is NVMe.
// [PCIe 1.1 §2.1]
constexpr std::string_view kNvmeClass = "0x0108";
// Bridges are in the group of what is behind them; VFIO does not mind.
constexpr std::string_view kBridgeClass = "0x0604";

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  const auto end = line.find_last_not_of(" \t\r\n");
  return end == std::string::npos ? std::string() : line.substr(0, end + 1);
}

std::string link_name(const fs::path& link) {
  std::error_code error;
  return fs::read_symlink(link, error).filename().string();
}

int number_or(const std::string& text, int otherwise) {
  int value = otherwise;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc() && !text.empty() ? value : otherwise;
}

std::string without_prefix(const std::string& text) {
  return text.starts_with("0x") ? text.substr(2) : text;
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// "nvme0n1", also for "nvme0c1n1", which is one way to it and no disk itself.
std::string disk_name(const std::string& entry) {
  const auto path = entry.find('c');
  const auto space = entry.find('n', 4);
  if (!entry.starts_with("nvme") || space == std::string::npos) {
    return {};
  }
  return path == std::string::npos || path > space ? entry
                                                   : entry.substr(0, path) + entry.substr(space);
}

void read_controller(PciDevice& device, const fs::path& folder) {
  for (const fs::path& controller : entries(folder / "nvme")) {
    device.model = first_line(controller / "model");
    device.serial = first_line(controller / "serial");
    for (const fs::path& entry : entries(controller)) {
      const std::string disk = disk_name(entry.filename().string());
      std::error_code error;
      if (!disk.empty() && fs::exists(entry / "size", error)) {
        device.disks.push_back(disk);
      }
      // The character device of a namespace, for passthrough.
      if (entry.filename().string().starts_with("ng")) {
        device.nodes.push_back(entry.filename().string());
      }
    }
  }
}

void read_vfio(PciDevice& device, const fs::path& folder) {
  if (device.driver != "vfio-pci") {
    return;
  }
  device.nodes.push_back("vfio/" + std::to_string(device.iommu_group));
  for (const fs::path& entry : entries(folder / "vfio-dev")) {
    device.nodes.push_back("vfio/devices/" + entry.filename().string());
  }
}

void read_group(PciDevice& device, const fs::path& folder) {
  device.iommu_group = number_or(link_name(folder / "iommu_group"), -1);
  for (const fs::path& other : entries(folder / "iommu_group" / "devices")) {
    const std::string driver = link_name(other / "driver");
    if (other.filename() != folder.filename() && !driver.empty() && driver != "vfio-pci" &&
        !first_line(other / "class").starts_with(kBridgeClass)) {
      device.group_others.push_back(other.filename().string() + " (" + driver + ")");
    }
  }
}

PciDevice read_device(const nvme::PciAddress& address, const fs::path& folder,
                      const PciPaths& paths) {
  PciDevice device;
  device.address = address;
  device.vendor_id = without_prefix(first_line(folder / "vendor"));
  device.device_id = without_prefix(first_line(folder / "device"));
  device.driver = link_name(folder / "driver");
  device.numa_node = nvme::pci_numa_node(address, paths.sys);
  read_controller(device, folder);
  read_group(device, folder);
  read_vfio(device, folder);
  return device;
}

fs::path devices_folder(const PciPaths& paths) {
  return fs::path(paths.sys) / "bus/pci/devices";
}

}  // namespace

std::vector<PciDevice> list_pci_devices(const PciPaths& paths) {
  std::vector<PciDevice> devices;
  for (const fs::path& folder : entries(devices_folder(paths))) {
    const auto address = nvme::PciAddress::parse(folder.filename().string());
    if (address && first_line(folder / "class").starts_with(kNvmeClass)) {
      devices.push_back(read_device(*address, folder, paths));
    }
  }
  return devices;
}

Result<PciDevice> find_pci_device(const nvme::PciAddress& address, const PciPaths& paths) {
  const fs::path folder = devices_folder(paths) / address.to_string();
  std::error_code error;
  if (!fs::exists(folder, error)) {
    return fail(ErrorCode::kNotFound, "there is no PCI device at " + address.to_string() +
                                          "; \"nvublk pci list\" shows those that there are");
  }
  if (!first_line(folder / "class").starts_with(kNvmeClass)) {
    return fail(ErrorCode::kInvalidArgument, address.to_string() +
                                                 " is no NVMe controller (PCI class " +
                                                 first_line(folder / "class") + ")");
  }
  return read_device(address, folder, paths);
}

std::string pci_device_user(const PciDevice& device, const PciPaths& paths) {
  const ublk::SystemPaths where{paths.proc, paths.sys, paths.dev, ""};
  for (const std::string& disk : device.disks) {
    if (const Status unused = ublk::check_unused(disk, where); !unused) {
      return unused.error().text;
    }
  }
  for (const std::string& node : device.nodes) {
    if (const Status closed = ublk::check_not_open(node, where); !closed) {
      return closed.error().text;
    }
  }
  return {};
}

}  // namespace nvublk::service
