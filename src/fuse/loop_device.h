#pragma once

// The loop device on top of an export's file: configuring it and taking it away. Everything here
// may block, and I/O that we serve ourselves may have to go through first: call it on a
// BlockingCall's thread only.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"

namespace nvublk::fuse {

/// Whether loop devices can be made; loads the module if need be. The error says what to do.
Status probe_loop_control();

struct LoopOptions {
  std::string file;
  std::uint32_t block_size_bytes = 512;
  bool read_only = false;
  int wanted = -1;  ///< the number in /dev/loopN, -1: any free one
};

/// Makes a loop device with direct I/O on `file`; its number. nullopt: the device's node is not
/// there yet, try again.
Result<std::optional<int>> attach_loop_device(const LoopOptions& options);

/// Whether /dev/loopN can be opened and has the size; false: try again.
Result<bool> loop_device_ready(int number, std::uint64_t size_bytes);

/// Has the kernel see that `file` has another size, and the loop device take it over.
Status resize_loop_device(int number, const std::string& file, std::uint64_t size_bytes);

/// Whether loop device `number` is (still) bound to `file`.
bool loop_device_bound(int number, const std::string& file);

/// Whether the driver reads and writes the file past the page cache.
bool loop_device_is_direct(int number);

struct LoopRelease {
  Status status;           ///< kBusy says who uses it
  bool momentary = false;  ///< only processes do, which may close it any moment
};

/// Takes the device away if nobody uses it, else leaves it as it was. `directory` is the mount
/// point: open files below it count too.
LoopRelease release_loop_device(int number, const std::string& file, const std::string& directory);

/// Takes the device away, as soon as the last user closes it if it is in use. Nothing to do is no
/// error.
Status clear_loop_device(int number, const std::string& file);

/// The numbers of all loop devices bound to `file`.
std::vector<int> loop_devices_of(const std::string& file);
/// clear_loop_device() for each of them; the last error.
Status clear_loop_devices_of(const std::string& file);

std::string loop_device_name(int number);  ///< "loop3"
std::string loop_device_path(int number);  ///< "/dev/loop3"

}  // namespace nvublk::fuse
