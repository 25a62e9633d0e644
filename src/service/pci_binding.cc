#include "service/pci_binding.h"

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "engine/fd.h"
#include "ublk/driver.h"

namespace nvublk::service {

namespace {

constexpr char kVfio[] = "vfio-pci";
constexpr Duration kLoadLimit = seconds(30);

std::string device_file(const PciPaths& paths, const nvme::PciAddress& address,
                        const std::string& name) {
  return paths.sys + "/bus/pci/devices/" + address.to_string() + "/" + name;
}

Status write_file(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    if (errno == EACCES || errno == EPERM || errno == EROFS) {
      return fail(ErrorCode::kPermission, "no permission to write " + path + "; run as root");
    }
    return fail_errno(errno, "cannot write " + path);
  }
  return {};
}

Status load_vfio(const PciPaths& paths) {
  const std::string driver = paths.sys + "/bus/pci/drivers/" + kVfio;
  std::error_code error;
  if (std::filesystem::exists(driver, error)) {
    return {};
  }
  const char* const words[] = {"modprobe", "-q", kVfio, nullptr};
  const auto loaded = ublk::run_program(words, kLoadLimit);
  if (std::filesystem::exists(driver, error)) {
    return {};
  }
  return fail(ErrorCode::kUnsupported,
              "this kernel has no driver vfio-pci" +
                  (loaded ? ": \"modprobe vfio-pci\" failed" : ": " + loaded.error().text));
}

Status check_can_be_taken(const PciDevice& device, const PciPaths& paths) {
  const std::string name = device.address.to_string();
  if (const std::string user = pci_device_user(device, paths); !user.empty()) {
    return fail(ErrorCode::kBusy, name + " is in use: " + user);
  }
  if (device.iommu_group < 0) {
    return fail(ErrorCode::kUnsupported,
                name +
                    " has no IOMMU group: the IOMMU is off; boot with intel_iommu=on (AMD: "
                    "enable it in the firmware), so that the drive reaches only our memory");
  }
  if (!device.group_others.empty()) {
    std::string others;
    for (const std::string& other : device.group_others) {
      others += (others.empty() ? "" : ", ") + other;
    }
    return fail(ErrorCode::kBusy, name + " shares IOMMU group " +
                                      std::to_string(device.iommu_group) + " with " + others +
                                      ", which has to be given up by its driver too");
  }
  return {};
}

std::string driver_of(const nvme::PciAddress& address, const PciPaths& paths) {
  std::error_code error;
  return std::filesystem::read_symlink(device_file(paths, address, "driver"), error)
      .filename()
      .string();
}

// Takes the function from the driver it has, and has the kernel look for one again if `probe`. One
// that has just come may get its driver meanwhile: after the override that is the one we want.
Status change_driver(const nvme::PciAddress& address, const std::string& driver_override,
                     bool probe, const PciPaths& paths) {
  Status status =
      write_file(device_file(paths, address, "driver_override"), driver_override + "\n");
  const std::string driver = driver_of(address, paths);
  if (status && !driver.empty() && driver != driver_override) {
    status = write_file(device_file(paths, address, "driver/unbind"), address.to_string());
  }
  if (status && probe) {
    status = write_file(paths.sys + "/bus/pci/drivers_probe", address.to_string());
  }
  return status;
}

}  // namespace

Result<PciOrigin> bind_to_vfio(const nvme::PciAddress& address, const PciPaths& paths) {
  const auto device = find_pci_device(address, paths);
  if (!device) {
    return std::unexpected(device.error());
  }
  PciOrigin origin{address, device->driver, false};
  if (device->driver == kVfio) {
    return origin;
  }
  Status status = check_can_be_taken(*device, paths);
  if (status) {
    status = load_vfio(paths);
  }
  if (!status) {
    return std::unexpected(std::move(status.error()));
  }
  origin.changed = true;
  status = change_driver(address, kVfio, true, paths);
  if (status && driver_of(address, paths) != kVfio) {
    status = fail(ErrorCode::kSystem,
                  "vfio-pci did not take " + address.to_string() + "; the kernel's log says why");
  }
  if (!status) {
    Error error = std::move(status.error());
    if (const Status undone = give_back(origin, paths); !undone) {
      error.text += "; " + undone.error().text;
    }
    return std::unexpected(std::move(error));
  }
  return origin;
}

Status give_back(const PciOrigin& origin, const PciPaths& paths) {
  if (!origin.changed) {
    return {};
  }
  std::error_code error;
  if (!std::filesystem::exists(device_file(paths, origin.address, "class"), error)) {
    return {};  // it was pulled out: nobody wants it back
  }
  const std::string now = driver_of(origin.address, paths);
  if (!now.empty() && now != kVfio) {
    // It was pulled out and has come back, or vfio-pci never got it: a driver has it already.
    return write_file(device_file(paths, origin.address, "driver_override"), "\n");
  }
  const Status changed = change_driver(origin.address, "", !origin.driver.empty(), paths);
  if (changed && driver_of(origin.address, paths) != origin.driver) {
    return fail(ErrorCode::kSystem, "the driver " + origin.driver + " did not take " +
                                        origin.address.to_string() +
                                        " back; the kernel's log says why");
  }
  return changed;
}

Status unbind_from_vfio(const nvme::PciAddress& address, const PciPaths& paths) {
  const auto device = find_pci_device(address, paths);
  if (!device) {
    return std::unexpected(device.error());
  }
  if (device->driver != kVfio && !device->driver.empty()) {
    return fail(ErrorCode::kNotFound, address.to_string() + " belongs to the driver " +
                                          device->driver + ", not to vfio-pci");
  }
  if (const std::string user = pci_device_user(*device, paths); !user.empty()) {
    return fail(ErrorCode::kBusy, address.to_string() + " is in use: " + user);
  }
  return change_driver(address, "", true, paths);
}

}  // namespace nvublk::service
