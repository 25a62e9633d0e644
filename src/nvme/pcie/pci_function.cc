#include "nvme/pcie/pci_function.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace nvublk::nvme::pcie {

namespace {

// The last part of what a link of sysfs points to; empty if there is none.
std::string link_name(const std::filesystem::path& link) {
  std::error_code error;
  return std::filesystem::read_symlink(link, error).filename().string();
}

// A number as sysfs has it, "0x1b36"; 0 if there is none.
std::uint16_t read_id(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string text;
  std::uint16_t id = 0;
  if (file >> text && text.starts_with("0x")) {
    std::from_chars(text.data() + 2, text.data() + text.size(), id, 16);
  }
  return id;
}

}  // namespace

PciIds pci_ids(const PciAddress& address, const std::string& devices) {
  const std::filesystem::path folder = std::filesystem::path(devices) / address.to_string();
  return {read_id(folder / "vendor"), read_id(folder / "device")};
}

std::string vfio_node(const PciAddress& address, const std::string& devices) {
  std::error_code error;
  const auto folder = std::filesystem::path(devices) / address.to_string() / "vfio-dev";
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("vfio")) {
      return "/dev/vfio/devices/" + name;
    }
  }
  return "";
}

// A line of "resource" for each BAR: first and last address, flags.
Result<std::uint64_t> bar_address(const PciAddress& address, unsigned bar,
                                  const std::string& devices) {
  std::ifstream file(std::filesystem::path(devices) / address.to_string() / "resource");
  std::string line;
  for (unsigned i = 0; i <= bar; i++) {
    std::getline(file, line);
  }
  std::uint64_t begin = 0;
  if (!file || !line.starts_with("0x") ||
      std::from_chars(line.data() + 2, line.data() + line.size(), begin, 16).ec != std::errc() ||
      begin == 0) {
    return fail(ErrorCode::kUnsupported, "the address of BAR " + std::to_string(bar) + " of " +
                                             address.to_string() + " is not known");
  }
  return begin;
}

Result<unsigned> vfio_group(const PciAddress& address) {
  const std::string name = address.to_string();
  const std::filesystem::path folder = "/sys/bus/pci/devices/" + name;
  std::error_code error;
  if (!std::filesystem::exists(folder, error)) {
    return fail(ErrorCode::kNotFound, "there is no PCI device at " + name);
  }
  const std::string driver = link_name(folder / "driver");
  if (driver != "vfio-pci") {
    return fail(ErrorCode::kBusy,
                name + (driver.empty() ? " has no driver" : " belongs to the driver " + driver) +
                    "; give it to vfio-pci first: nvublk pci bind " + name);
  }
  const std::string group = link_name(folder / "iommu_group");
  unsigned number = 0;
  const auto read = std::from_chars(group.data(), group.data() + group.size(), number);
  if (group.empty() || read.ec != std::errc() || read.ptr != group.data() + group.size()) {
    return fail(ErrorCode::kUnsupported,
                name +
                    " has no IOMMU group: the IOMMU is off; boot with intel_iommu=on (AMD: "
                    "enable it in the firmware), so that the drive reaches only our memory");
  }
  return number;
}

}  // namespace nvublk::nvme::pcie
