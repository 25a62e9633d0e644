#include "fuse/mount.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include "engine/log.h"
#include "fuse/holders.h"
#include "fuse/loop_device.h"

namespace nvublk::fuse {

namespace {

constexpr const char* kFuseDevice = "/dev/fuse";
/// Gives a second descriptor of the same connection. [linux/fuse.h FUSE_DEV_IOC_CLONE]
constexpr unsigned long kCloneRequest = _IOR(229, 0, std::uint32_t);

UniqueFd try_open_fuse() {
  return UniqueFd(::open(kFuseDevice, O_RDWR | O_CLOEXEC | O_NONBLOCK));
}

bool module_missing(int error) {
  return error == ENOENT || error == ENODEV || error == ENXIO;
}

Result<void> make_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return fail_errno(error.value(), "cannot make the directory " + path);
  }
  return {};
}

/// A mount point whose server is gone; one that is served belongs to somebody else.
Status remove_stale_mount(const MountPoint& at) {
  if (!is_mount_point(at.directory)) {
    return {};
  }
  if (is_served(at.directory) == Served::kYes) {
    return fail(ErrorCode::kAlreadyExists,
                at.directory + " is a mount point in use; another daemon may serve it, give this " +
                    "one another run directory or the device another name");
  }
  if (Status cleared = clear_loop_devices_of(at.file); !cleared) {
    log_warning("fuse", cleared.error().text);
  }
  ::umount2(at.directory.c_str(), MNT_DETACH);
  return {};
}

Error mount_error(int error, const std::string& directory) {
  Error result = Error::from_errno(error, "cannot mount FUSE on " + directory);
  if (error == EPERM || error == EACCES) {
    result.text += "; mounting needs root (CAP_SYS_ADMIN)";
  } else if (error == ENODEV) {
    result.text += "; the kernel has no FUSE, try modprobe fuse";
  }
  return result;
}

Result<UniqueFd> clone_descriptor(int original) {
  UniqueFd clone = try_open_fuse();
  if (!clone) {
    return fail_errno(errno, std::string("cannot open ") + kFuseDevice);
  }
  auto source = static_cast<std::uint32_t>(original);
  if (::ioctl(clone.get(), kCloneRequest, &source) != 0) {
    return fail_errno(errno, "cannot make another queue of the FUSE connection");
  }
  return clone;
}

}  // namespace

void load_module(const char* name) {
  char program[] = "modprobe";
  char quiet[] = "-q";
  std::string module(name);
  char* arguments[] = {program, quiet, module.data(), nullptr};
  char* environment[] = {nullptr};
  pid_t child = 0;
  for (const char* path : {"/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe"}) {
    if (::posix_spawn(&child, path, nullptr, nullptr, arguments, environment) == 0) {
      int status = 0;
      while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
      return;
    }
  }
}

Result<UniqueFd> open_fuse_device() {
  UniqueFd device = try_open_fuse();
  if (!device && module_missing(errno)) {
    load_module("fuse");
    device = try_open_fuse();
  }
  if (device) {
    return device;
  }
  const int error = errno;
  if (module_missing(error)) {
    return fail(ErrorCode::kUnsupported,
                "there is no /dev/fuse: the module fuse is missing, try modprobe fuse");
  }
  Error result = Error::from_errno(error, "cannot open /dev/fuse");
  if (error == EPERM || error == EACCES) {
    result.text += "; run as root, or let the container use the device";
  }
  return std::unexpected(std::move(result));
}

Result<MountPoint> make_mount_point(const std::string& run_directory, const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "\"" + name + "\" cannot be the name of a file");
  }
  if (Status made = make_directory(run_directory); !made) {
    return std::unexpected(std::move(made.error()));
  }
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::canonical(run_directory, error);
  if (error) {
    return fail_errno(error.value(), "cannot resolve " + run_directory);
  }
  MountPoint at{parent / name, parent / name / name};
  if (Status stale = remove_stale_mount(at); !stale) {
    return std::unexpected(std::move(stale.error()));
  }
  if (::mkdir(at.directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail_errno(errno, "cannot make the directory " + at.directory);
  }
  return at;
}

Result<Mount> mount_fuse(const MountOptions& options) {
  auto first = open_fuse_device();
  if (!first) {
    return std::unexpected(std::move(first.error()));
  }
  const std::string data =
      "fd=" + std::to_string(first->get()) +
      ",rootmode=40000,user_id=" + std::to_string(::geteuid()) +
      ",group_id=" + std::to_string(::getegid()) +
      ",default_permissions,max_read=" + std::to_string(options.max_read_bytes);
  const unsigned long flags =
      MS_NOSUID | MS_NODEV | MS_NOEXEC | (options.read_only ? MS_RDONLY : 0);
  const std::string& directory = options.at.directory;
  if (::mount("nvublk", directory.c_str(), "fuse.nvublk", flags, data.c_str()) != 0) {
    return std::unexpected(mount_error(errno, directory));
  }
  Mount mount;
  mount.descriptors.push_back(std::move(*first));
  while (mount.descriptors.size() < options.queues) {
    auto clone = clone_descriptor(mount.descriptors.front().get());
    if (!clone) {
      ::umount2(directory.c_str(), MNT_DETACH);
      return std::unexpected(std::move(clone.error()));
    }
    mount.descriptors.push_back(std::move(*clone));
  }
  return mount;
}

Served is_served(const std::string& mount_point) {
  // Asks the server; without one the kernel answers by itself, with ECONNREFUSED if there never was
  // a handshake.
  struct statfs status{};
  const int error = ::statfs(mount_point.c_str(), &status) == 0 ? 0 : errno;
  return error == ENOTCONN || error == ECONNABORTED || error == ECONNREFUSED ? Served::kNot
                                                                             : Served::kYes;
}

void remove_mount_point(const MountPoint& at) {
  if (at.directory.empty()) {
    return;
  }
  if (is_mount_point(at.directory)) {
    ::umount2(at.directory.c_str(), MNT_DETACH);
  }
  ::rmdir(at.directory.c_str());
}

}  // namespace nvublk::fuse
