#include "fuse/loop_device.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "engine/fd.h"
#include "fuse/holders.h"
#include "fuse/mount.h"

namespace nvublk::fuse {

namespace {

constexpr const char* kControl = "/dev/loop-control";
/// How often another process may take the free device before us.
constexpr int kMaxRaces = 64;

Result<UniqueFd> open_control() {
  UniqueFd control(::open(kControl, O_RDWR | O_CLOEXEC));
  if (!control && (errno == ENOENT || errno == ENODEV || errno == ENXIO)) {
    load_module("loop");
    control = UniqueFd(::open(kControl, O_RDWR | O_CLOEXEC));
  }
  if (control) {
    return control;
  }
  const int error = errno;
  if (error == ENOENT || error == ENODEV || error == ENXIO) {
    return fail(ErrorCode::kUnsupported,
                "there is no /dev/loop-control: the module loop is missing, try modprobe loop");
  }
  Error result = Error::from_errno(error, "cannot open /dev/loop-control");
  if (error == EPERM || error == EACCES) {
    result.text += "; run as root, or let the container use the device";
  }
  return std::unexpected(std::move(result));
}

Result<int> choose_number(int control, int wanted) {
  if (wanted < 0) {
    const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) {
      return fail_errno(errno, "there is no free loop device and none can be added");
    }
    return number;
  }
  if (::ioctl(control, LOOP_CTL_ADD, wanted) < 0 && errno != EEXIST) {
    return fail_errno(errno, "cannot add " + loop_device_path(wanted));
  }
  return wanted;
}

Error configure_error(int error, int number, const LoopOptions& options) {
  Error result = Error::from_errno(error, "cannot configure " + loop_device_path(number));
  if (error == EBUSY) {
    result.code = ErrorCode::kBusy;
    result.text = loop_device_path(number) + " is in use; choose another number, or none";
  } else if (error == EINVAL) {
    result.text += "; this kernel's loop driver may not support blocks of " +
                   std::to_string(options.block_size_bytes) + " bytes";
  } else if (error == ENOTTY) {
    result.text += "; the loop driver needs Linux 5.8";
  }
  return result;
}

loop_config configuration(int file, const LoopOptions& options) {
  loop_config config{};
  config.fd = static_cast<std::uint32_t>(file);
  config.block_size = options.block_size_bytes;
  config.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_PARTSCAN;
  if (options.read_only) {
    config.info.lo_flags |= LO_FLAGS_READ_ONLY;
  }
  const std::size_t length = std::min<std::size_t>(options.file.size(), LO_NAME_SIZE - 1);
  std::memcpy(config.info.lo_file_name, options.file.data(), length);
  return config;
}

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

LoopRelease refuse(int number, const Holders& holders) {
  std::string text = loop_device_path(number) + " is ";
  text += holders.empty() ? "in use by the kernel or in another namespace" : holders.text();
  text += "; unmount or close it first, or use --force";
  return {fail(ErrorCode::kBusy, std::move(text)), holders.lasting.empty()};
}

/// Asks the driver to let the device go once the last user closes it, which may be ourselves.
Status ask_to_clear(int number, int extra_flags) {
  const UniqueFd device(
      ::open(loop_device_path(number).c_str(), O_RDONLY | O_CLOEXEC | extra_flags));
  if (!device) {
    return fail_errno(errno, "cannot open " + loop_device_path(number));
  }
  if (::ioctl(device.get(), LOOP_CLR_FD) != 0 && errno != ENXIO) {
    return fail_errno(errno, "cannot clear " + loop_device_path(number));
  }
  return {};
}

/// Takes the request to clear back.
void keep(int number) {
  const UniqueFd device(::open(loop_device_path(number).c_str(), O_RDONLY | O_CLOEXEC));
  loop_info64 info{};
  if (device && ::ioctl(device.get(), LOOP_GET_STATUS64, &info) == 0) {
    info.lo_flags &= ~static_cast<std::uint32_t>(LO_FLAGS_AUTOCLEAR);
    ::ioctl(device.get(), LOOP_SET_STATUS64, &info);
  }
}

}  // namespace

std::string loop_device_name(int number) {
  return "loop" + std::to_string(number);
}

std::string loop_device_path(int number) {
  return "/dev/" + loop_device_name(number);
}

Status probe_loop_control() {
  if (auto control = open_control(); !control) {
    return std::unexpected(std::move(control.error()));
  }
  return {};
}

Result<std::optional<int>> attach_loop_device(const LoopOptions& options) {
  auto control = open_control();
  if (!control) {
    return std::unexpected(std::move(control.error()));
  }
  const int access = options.read_only ? O_RDONLY : O_RDWR;
  const UniqueFd file(::open(options.file.c_str(), access | O_DIRECT | O_CLOEXEC));
  if (!file) {
    return fail_errno(errno, "cannot open " + options.file);
  }
  const loop_config config = configuration(file.get(), options);
  for (int race = 0; race < kMaxRaces; race++) {
    const auto number = choose_number(control->get(), options.wanted);
    if (!number) {
      return std::unexpected(number.error());
    }
    const UniqueFd device(::open(loop_device_path(*number).c_str(), access | O_CLOEXEC));
    if (!device && (errno == ENOENT || errno == ENXIO)) {
      return std::nullopt;
    }
    if (!device) {
      return fail_errno(errno, "cannot open " + loop_device_path(*number));
    }
    if (::ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) {
      return *number;
    }
    if (errno != EBUSY || options.wanted >= 0) {
      return std::unexpected(configure_error(errno, *number, options));
    }
  }
  return fail(ErrorCode::kBusy, "other programs took every free loop device before us; try again");
}

Result<bool> loop_device_ready(int number, std::uint64_t size_bytes) {
  const UniqueFd device(::open(loop_device_path(number).c_str(), O_RDONLY | O_CLOEXEC));
  if (!device) {
    if (errno == ENOENT || errno == ENXIO || errno == EBUSY) {
      return false;
    }
    return fail_errno(errno, "cannot open " + loop_device_path(number));
  }
  std::uint64_t size = 0;
  if (::ioctl(device.get(), BLKGETSIZE64, &size) != 0) {
    return fail_errno(errno, "cannot read the size of " + loop_device_path(number));
  }
  return size == size_bytes;
}

// The driver takes what the kernel holds for the file's size, which only a forced look renews.
Status resize_loop_device(int number, const std::string& file, std::uint64_t size_bytes) {
  struct statx attributes{};
  if (::statx(AT_FDCWD, file.c_str(), AT_STATX_FORCE_SYNC, STATX_SIZE, &attributes) != 0) {
    return fail_errno(errno, "cannot look at " + file);
  }
  const std::string path = loop_device_path(number);
  const UniqueFd device(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!device) {
    return fail_errno(errno, "cannot open " + path);
  }
  if (::ioctl(device.get(), LOOP_SET_CAPACITY, 0) != 0) {
    return fail_errno(errno, "the kernel does not resize " + path);
  }
  const Result<bool> resized = loop_device_ready(number, size_bytes);
  if (!resized) {
    return std::unexpected(resized.error());
  }
  return *resized ? Status{}
                  : fail(ErrorCode::kSystem, path + " did not take the new size of " +
                                                 std::to_string(size_bytes) +
                                                 " bytes over; detach and attach it to see it");
}

bool loop_device_bound(int number, const std::string& file) {
  return read_line("/sys/block/" + loop_device_name(number) + "/loop/backing_file") == file;
}

bool loop_device_is_direct(int number) {
  return read_line("/sys/block/" + loop_device_name(number) + "/loop/dio") == "1";
}

LoopRelease release_loop_device(int number, const std::string& file, const std::string& directory) {
  const bool bound = loop_device_bound(number, file);
  const std::string name = bound ? loop_device_name(number) : "";
  const Holders holders = find_holders(name, directory);
  if (!holders.empty()) {
    return refuse(number, holders);
  }
  if (!bound) {
    return {};
  }
  // Exclusively: a mount cannot come in between.
  if (Status asked = ask_to_clear(number, O_EXCL); !asked) {
    if (asked.error().code != ErrorCode::kBusy) {
      return {asked, false};
    }
    return refuse(number, find_holders(name, directory));
  }
  if (loop_device_bound(number, file)) {
    keep(number);
    return refuse(number, find_holders(name, directory));
  }
  return {};
}

Status clear_loop_device(int number, const std::string& file) {
  return loop_device_bound(number, file) ? ask_to_clear(number, 0) : Status{};
}

std::vector<int> loop_devices_of(const std::string& file) {
  std::vector<int> numbers;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/sys/block", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    int number = -1;
    if (name.starts_with("loop") &&
        std::from_chars(name.data() + 4, name.data() + name.size(), number).ec == std::errc{} &&
        loop_device_bound(number, file)) {
      numbers.push_back(number);
    }
  }
  std::ranges::sort(numbers);
  return numbers;
}

Status clear_loop_devices_of(const std::string& file) {
  Status status;
  for (const int number : loop_devices_of(file)) {
    if (Status cleared = clear_loop_device(number, file); !cleared) {
      status = std::move(cleared);
    }
  }
  return status;
}

}  // namespace nvublk::fuse
