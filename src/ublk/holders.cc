#include "ublk/holders.h"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "engine/fd.h"
#include "engine/time.h"

namespace nvublk::ublk {

namespace {

/// Names in a folder, without "." and ".."; empty if there is no such folder.
std::vector<std::string> list(const std::string& folder) {
  std::vector<std::string> names;
  DIR* open = ::opendir(folder.c_str());
  if (open == nullptr) {
    return names;
  }
  while (const dirent* entry = ::readdir(open)) {
    if (const std::string_view name = entry->d_name; name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  ::closedir(open);
  return names;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string link_target(const std::string& path) {
  char target[4096];
  const ssize_t length = ::readlink(path.c_str(), target, sizeof(target));
  return length > 0 ? std::string(target, static_cast<std::size_t>(length)) : std::string{};
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// "/dev/ublkb0" itself or one of its partitions "/dev/ublkb0p1".
bool is_part_of(std::string_view path, const std::string& device) {
  if (!path.starts_with(device)) {
    return false;
  }
  const std::string_view rest = path.substr(device.size());
  return rest.empty() || (rest.front() == 'p' && all_digits(rest.substr(1)));
}

/// Spaces and the like are written as octal escapes in mountinfo. [proc_pid_mountinfo(5)]
std::string unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] == '\\' && i + 3 < text.size() && all_digits(text.substr(i + 1, 3))) {
      plain +=
          static_cast<char>(std::strtol(std::string{text.substr(i + 1, 3)}.c_str(), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// The disk and its partitions, as names in /sys/block.
std::vector<std::string> parts_of(const std::string& disk, const SystemPaths& paths) {
  std::vector<std::string> parts{paths.sys + "/block/" + disk};
  for (const std::string& name : list(parts.front())) {
    if (name != disk && is_part_of(name, disk)) {
      parts.push_back(parts.front() + "/" + name);
    }
  }
  return parts;
}

/// Where it is mounted, in this mount namespace.
std::optional<std::string> find_mount(const std::string& disk, const SystemPaths& paths) {
  std::vector<std::string> numbers;
  for (const std::string& part : parts_of(disk, paths)) {
    numbers.push_back(first_line(part + "/dev"));
  }
  std::ifstream mounts(paths.proc + "/self/mountinfo");
  std::string line;
  while (std::getline(mounts, line)) {
    std::istringstream fields(line);
    std::string id, parent, number, root, point, field, source;
    fields >> id >> parent >> number >> root >> point;
    while (fields >> field && field != "-") {
    }
    fields >> field >> source;
    // Some file systems have device numbers of their own; their source names the device.
    bool ours = is_part_of(source, paths.dev + "/" + disk);
    for (const std::string& wanted : numbers) {
      ours = ours || (!wanted.empty() && number == wanted);
    }
    if (ours) {
      return "mounted on " + unescape(point) + "; unmount it";
    }
  }
  return std::nullopt;
}

std::optional<std::string> find_swap(const std::string& disk, const SystemPaths& paths) {
  std::ifstream swaps(paths.proc + "/swaps");
  std::string line;
  while (std::getline(swaps, line)) {
    const std::string_view area = std::string_view(line).substr(0, line.find_first_of(" \t"));
    if (is_part_of(area, paths.dev + "/" + disk)) {
      return "used as swap; run swapoff " + std::string{area};
    }
  }
  return std::nullopt;
}

/// Device mapper, RAID, bcache: what the kernel lists as holders.
std::optional<std::string> find_stacked(const std::string& disk, const SystemPaths& paths) {
  for (const std::string& part : parts_of(disk, paths)) {
    for (const std::string& holder : list(part + "/holders")) {
      const std::string name = first_line(paths.sys + "/block/" + holder + "/dm/name");
      return "used by " + holder + (name.empty() ? "" : " (" + name + ")") + "; remove that first";
    }
  }
  return std::nullopt;
}

std::optional<std::string> find_loop(const std::string& disk, const SystemPaths& paths) {
  for (const std::string& name : list(paths.sys + "/block")) {
    if (name.starts_with("loop") &&
        is_part_of(first_line(paths.sys + "/block/" + name + "/loop/backing_file"),
                   paths.dev + "/" + disk)) {
      return "used by /dev/" + name + "; run losetup -d /dev/" + name;
    }
  }
  return std::nullopt;
}

std::optional<std::string> find_process(const std::string& disk, const SystemPaths& paths) {
  for (const std::string& pid : list(paths.proc)) {
    if (!all_digits(pid)) {
      continue;
    }
    const std::string process = paths.proc + "/" + pid;
    for (const std::string& fd : list(process + "/fd")) {
      if (is_part_of(link_target(process + "/fd/" + fd), paths.dev + "/" + disk)) {
        return "open in process " + pid + " (" + first_line(process + "/comm") + "); end that";
      }
    }
  }
  return std::nullopt;
}

/// Users that none of the others finds, such as a mount in another mount namespace, hold the device
/// exclusively.
std::optional<std::string> find_exclusive(const std::string& disk, const SystemPaths& paths) {
  const UniqueFd fd(::open((paths.dev + "/" + disk).c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
  if (!fd && errno == EBUSY) {
    return std::string{
        "in use, perhaps mounted in another mount namespace or a container; stop that"};
  }
  return std::nullopt;
}

Status look_once(const std::string& disk, const SystemPaths& paths, bool& passing) {
  for (const auto find :
       {find_mount, find_swap, find_stacked, find_loop, find_process, find_exclusive}) {
    if (const std::optional<std::string> use = find(disk, paths)) {
      passing = find == find_process;
      return fail(ErrorCode::kBusy, "/dev/" + disk + " is " + *use + paths.way_out);
    }
  }
  return {};
}

}  // namespace

Status check_not_open(const std::string& node, const SystemPaths& paths) {
  if (const std::optional<std::string> use = find_process(node, paths)) {
    return fail(ErrorCode::kBusy, "/dev/" + node + " is " + *use + paths.way_out);
  }
  return {};
}

Status check_unused(const std::string& disk, const SystemPaths& paths) {
  const Instant patience = Clock::now() + seconds(1);
  while (true) {
    bool passing = false;
    Status status = look_once(disk, paths, passing);
    if (status || !passing || Clock::now() >= patience) {
      return status;
    }
    ::poll(nullptr, 0, 50);  // this thread is for blocking
  }
}

}  // namespace nvublk::ublk
