#include "service/pci_report.h"

#include <algorithm>
#include <vector>

#include "service/pci_devices.h"

namespace nvublk::service {

namespace {

/// The daemon's controller of the drive at `address`, or null.
Json controller_at(const Json& controllers, const std::string& address) {
  for (const Json& controller : controllers) {
    const Json& id = controller["transport_id"];
    if (id["trtype"] == "pcie" && id["traddr"] == address) {
      return controller;
    }
  }
  return {};
}

std::string attached_as(const Json& controller) {
  std::string text = "attached as " + controller["name"].get<std::string>();
  std::string devices;
  for (const Json& space : controller["namespaces"]) {
    if (space["device"].is_string()) {
      devices += (devices.empty() ? "" : ", ") + space["device"].get<std::string>();
    }
  }
  return text + (devices.empty() ? "" : " (" + devices + ")") + "; detach it";
}

Json device_json(const PciDevice& device, const Json& controllers) {
  const Json ours = controller_at(controllers, device.address.to_string());
  const std::string user = ours.is_null() ? pci_device_user(device) : attached_as(ours);
  Json json;
  json["address"] = device.address.to_string();
  json["vendor"] = device.vendor_id;
  json["device"] = device.device_id;
  json["model"] = ours.is_null() ? Json(device.model) : ours["model"];
  json["serial"] = ours.is_null() ? Json(device.serial) : ours["serial"];
  json["driver"] = device.driver.empty() ? Json() : Json(device.driver);
  json["iommu_group"] = device.iommu_group < 0 ? Json() : Json(device.iommu_group);
  json["numa_node"] = device.numa_node < 0 ? Json() : Json(device.numa_node);
  json["disks"] = device.disks;
  json["used_by"] = user.empty() ? Json() : Json(user);
  return json;
}

std::string text_of(const Json& value) {
  if (value.is_null() || (value.is_string() && value.get<std::string>().empty())) {
    return "-";
  }
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string joined(const Json& words) {
  std::string text;
  for (const Json& word : words) {
    text += (text.empty() ? "" : ",") + word.get<std::string>();
  }
  return text.empty() ? "-" : text;
}

}  // namespace

Json pci_report(const Json& controllers) {
  Json devices = Json::array();
  for (const PciDevice& device : list_pci_devices()) {
    devices.push_back(device_json(device, controllers));
  }
  return {{"devices", devices}};
}

// Columns as wide as what is in them.
std::string pci_text(const Json& report) {
  std::vector<std::vector<std::string>> rows = {
      {"ADDRESS", "ID", "DRIVER", "GROUP", "NUMA", "DISKS", "MODEL", "USED BY"}};
  for (const Json& device : report["devices"]) {
    rows.push_back(
        {text_of(device["address"]), text_of(device["vendor"]) + ":" + text_of(device["device"]),
         text_of(device["driver"]), text_of(device["iommu_group"]), text_of(device["numa_node"]),
         joined(device["disks"]), text_of(device["model"]), text_of(device["used_by"])});
  }
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); i++) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); i++) {
      text += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    }
    text += row.back() + "\n";
  }
  return text;
}

}  // namespace nvublk::service
