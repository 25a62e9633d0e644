#include "service/pci_commands.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <CLI/CLI.hpp>

#include "service/error_line.h"
#include "service/json.h"
#include "service/pci_binding.h"

namespace nvublk::service {

namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  nvublk pci list\n"
    "  nvublk pci bind 0000:01:00.0\n"
    "  nvublk pci unbind 0000:01:00.0\n";

struct Words {
  std::string output = "normal";
  std::string address;
};

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
}

int print_failure(const Words& words, const std::string& command, const Error& error) {
  if (words.output == "json") {
    print(to_pretty(error_json(error)) + "\n");
  }
  std::fputs((error_line(("pci " + command).c_str(), error) + "\n").c_str(), stderr);
  return 1;
}

Json device_json(const PciDevice& device) {
  const std::string user = pci_device_user(device);
  Json json;
  json["address"] = device.address.to_string();
  json["vendor"] = device.vendor_id;
  json["device"] = device.device_id;
  json["model"] = device.model;
  json["serial"] = device.serial;
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

// Columns as wide as what is in them.
std::string table(const Json& devices) {
  std::vector<std::vector<std::string>> rows = {
      {"ADDRESS", "ID", "DRIVER", "GROUP", "NUMA", "DISKS", "MODEL", "USED BY"}};
  for (const Json& device : devices) {
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

int run_list(const Words& words) {
  Json devices = Json::array();
  for (const PciDevice& device : list_pci_devices()) {
    devices.push_back(device_json(device));
  }
  print(words.output == "json" ? to_pretty(Json{{"devices", devices}}) + "\n" : table(devices));
  return 0;
}

int run_change(const Words& words, const std::string& command) {
  const auto address = nvme::PciAddress::parse(words.address);
  if (!address) {
    return print_failure(words, command, address.error());
  }
  Status status;
  if (command == "unbind") {
    status = unbind_from_vfio(*address);
  } else if (const auto bound = bind_to_vfio(*address); !bound) {
    status = std::unexpected(bound.error());
  }
  if (!status) {
    return print_failure(words, command, status.error());
  }
  if (words.output == "json") {
    print(to_pretty(Json{{"address", address->to_string()}}) + "\n");
  }
  return 0;
}

void add_output(CLI::App& app, Words& words) {
  app.add_option("-o,--output-format", words.output, "normal or json")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"normal", "json"}));
}

int usage(const std::string& what) {
  std::fputs(("nvublk: pci: " + what + "; see 'nvublk pci --help'\n").c_str(), stderr);
  return 2;
}

}  // namespace

int run_pci_command(std::vector<std::string> words) {
  Words values;
  CLI::App app("NVMe drives of this machine: who has them, and giving them to vfio-pci and back",
               "nvublk pci");
  app.footer(kExamples);
  app.require_subcommand(1, 1);
  CLI::App* list = app.add_subcommand("list", "List the NVMe drives");
  CLI::App* bind = app.add_subcommand("bind", "Take a drive from the kernel, for vfio-pci");
  CLI::App* unbind = app.add_subcommand("unbind", "Give a drive back to the kernel");
  add_output(*list, values);
  for (CLI::App* command : {bind, unbind}) {
    command->add_option("address", values.address, "The drive's PCI address, as 0000:01:00.0")
        ->type_name("ADDR")
        ->required();
    add_output(*command, values);
  }
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    print(chosen.empty() ? app.help() : chosen.front()->help("nvublk pci"));
    return 0;
  } catch (const CLI::Error& error) {
    return usage(error.what());
  }
  const std::string command = app.get_subcommands().front()->get_name();
  return command == "list" ? run_list(values) : run_change(values, command);
}

}  // namespace nvublk::service
