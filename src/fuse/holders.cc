#include "fuse/holders.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>

namespace nvublk::fuse {

namespace {

namespace fs = std::filesystem;

struct MountEntry {
  std::string device;  ///< "7:3"
  std::string mount_point;
  std::string source;
};

// Line: id parent major:minor root mountpoint options [optional...] - type source superoptions
// [proc(5)]
bool parse_mount(const std::string& line, MountEntry& entry) {
  std::istringstream fields(line);
  std::string skipped;
  std::string mount_point;
  if (!(fields >> skipped >> skipped >> entry.device >> skipped >> mount_point)) {
    return false;
  }
  entry.mount_point = unescape_mount_field(mount_point);
  while (fields >> skipped && skipped != "-") {
  }
  std::string source;
  fields >> skipped >> source;
  entry.source = unescape_mount_field(source);
  return true;
}

std::vector<MountEntry> read_mounts() {
  std::vector<MountEntry> mounts;
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  while (std::getline(file, line)) {
    MountEntry entry;
    if (parse_mount(line, entry)) {
      mounts.push_back(std::move(entry));
    }
  }
  return mounts;
}

std::vector<std::string> list(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename());
  }
  return names;
}

/// The device and its partitions.
std::vector<std::string> devices_of(const std::string& name) {
  std::vector<std::string> devices;
  if (name.empty()) {
    return devices;
  }
  devices.push_back(name);
  for (const std::string& child : list(fs::path("/sys/block") / name)) {
    if (child.starts_with(name + "p")) {
      devices.push_back(child);
    }
  }
  return devices;
}

std::string read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

void add_mounts(const std::vector<std::string>& devices, Holders& holders) {
  const std::vector<MountEntry> mounts = read_mounts();
  for (const std::string& device : devices) {
    const std::string number = read_line(fs::path("/sys/class/block") / device / "dev");
    for (const MountEntry& mount : mounts) {
      if (mount.device == number || mount.source == "/dev/" + device) {
        holders.lasting.push_back("mounted on " + mount.mount_point);
      }
    }
  }
}

void add_swap(const std::vector<std::string>& devices, Holders& holders) {
  std::ifstream swaps("/proc/swaps");
  std::string line;
  while (std::getline(swaps, line)) {
    const std::string used = line.substr(0, line.find_first_of(" \t"));
    for (const std::string& device : devices) {
      if (used == "/dev/" + device) {
        holders.lasting.push_back("used as swap space");
      }
    }
  }
}

void add_stacked(const std::vector<std::string>& devices, Holders& holders) {
  for (const std::string& device : devices) {
    for (const std::string& upper : list(fs::path("/sys/class/block") / device / "holders")) {
      holders.lasting.push_back("used by /dev/" + upper);
    }
  }
}

bool uses(const fs::path& process, const std::vector<std::string>& devices,
          const std::string& directory) {
  const std::string inside = directory + "/";
  for (const std::string& descriptor : list(process / "fd")) {
    std::error_code error;
    // The link's text only: following it could wait for a file system that hangs.
    const std::string target = fs::read_symlink(process / "fd" / descriptor, error);
    if (error) {
      continue;
    }
    if (!directory.empty() && (target == directory || target.starts_with(inside))) {
      return true;
    }
    if (std::ranges::any_of(devices, [&](const auto& name) { return target == "/dev/" + name; })) {
      return true;
    }
  }
  return false;
}

void add_processes(const std::vector<std::string>& devices, const std::string& directory,
                   Holders& holders) {
  for (const std::string& pid : list("/proc")) {
    if (pid.empty() || !std::ranges::all_of(pid, [](unsigned char c) { return std::isdigit(c); })) {
      continue;
    }
    const fs::path process = fs::path("/proc") / pid;
    if (uses(process, devices, directory)) {
      holders.processes.push_back("open in " + read_line(process / "comm") + " (pid " + pid + ")");
    }
  }
}

}  // namespace

std::string unescape_mount_field(std::string_view field) {
  std::string text;
  for (std::size_t i = 0; i < field.size(); i++) {
    const auto octal = [&](std::size_t at) { return field[at] >= '0' && field[at] <= '7'; };
    if (field[i] == '\\' && i + 3 < field.size() && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      text.push_back(static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 +
                                       (field[i + 3] - '0')));
      i += 3;
    } else {
      text.push_back(field[i]);
    }
  }
  return text;
}

std::string Holders::text() const {
  std::string all;
  for (const auto* part : {&lasting, &processes}) {
    for (const std::string& holder : *part) {
      all += (all.empty() ? "" : ", ") + holder;
    }
  }
  return all;
}

bool is_mount_point(const std::string& directory) {
  return std::ranges::any_of(
      read_mounts(), [&](const MountEntry& mount) { return mount.mount_point == directory; });
}

Holders find_holders(const std::string& name, const std::string& directory) {
  Holders holders;
  const std::vector<std::string> devices = devices_of(name);
  add_mounts(devices, holders);
  add_swap(devices, holders);
  add_stacked(devices, holders);
  add_processes(devices, directory, holders);
  return holders;
}

}  // namespace nvublk::fuse
