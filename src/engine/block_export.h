#pragma once

// What the service sees of a front-end: something that shows a BlockDevice to the operating system
// as a block device node. Implemented by ublk and FUSE. All methods are called on the control
// shard; callbacks run there too.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/block.h"
#include "engine/error.h"

namespace nvublk {

struct BlockExportOptions {
  std::string name;      ///< "nvublk0n1": file name, partition label, log prefix
  int id = -1;           ///< the number in /dev/ublkbN, -1: any
  unsigned queues = 0;   ///< 0: one per queue of the device
  unsigned depth = 128;  ///< requests per queue, 1 to 1024
  bool read_only = false;
  std::string run_directory;  ///< where files of this export may live
  /// Not 0: instead of making a device, takes over the one with number `id` and this key, which a
  /// server that ended has left; on failure it stays as it is, unless the error says otherwise.
  std::uint16_t resume_key = 0;
};

struct BlockExportStatistics {
  std::uint64_t in_flight = 0;
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t flushes = 0;
  std::uint64_t discards = 0;
  std::uint64_t write_zeroes = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t write_bytes = 0;
  std::uint64_t errors = 0;
};

struct BlockExportInfo {
  std::string device;     ///< "/dev/ublkb0" or "/dev/loop3"; empty until it can be opened
  std::string frontend;   ///< "ublk" or "fuse"
  std::string state;      ///< "starting", "live", "leaving", "stopping", "stopped", "failed"
  int id = -1;            ///< the number in the device's name
  std::uint16_t key = 0;  ///< for BlockExportOptions::resume_key; 0: it cannot outlive its server
  unsigned queues = 0;
  unsigned depth = 0;
  std::vector<std::string>
      features;  ///< negotiated, in the kernel's names, such as "USER_RECOVERY"
};

class BlockExport {
 public:
  /// A control path callback; may allocate.
  using Done = std::function<void(Status status)>;

  virtual ~BlockExport() = default;

  /// Makes the device. `done` runs once it can be opened, or with the reason why not; then nothing
  /// is left behind.
  virtual void start(Done done) = 0;
  /// Takes the device away. Without `force` a device that is open or mounted is refused with kBusy
  /// and the text says who holds it. With `force` it always ends: requests that are still with the
  /// back-end are waited for, new ones fail. Only after `done` may this object, and the
  /// BlockDevice, be destroyed.
  virtual void stop(bool force, Done done) = 0;

  /// The device's geometry has another size: shows that. kUnsupported where the kernel cannot do
  /// it; the device then goes on with the size it had. One at a time; a stop() that comes meanwhile
  /// waits for it.
  virtual void resize(Done done) = 0;

  /// Lets go of a device that has a key: requests that come wait for the next server, those with
  /// the back-end end first. When `done` runs nothing is with the back-end, and all that may follow
  /// is the end of this process, without destructors. An error: something may still be, or the
  /// device cannot outlive its server.
  virtual void leave(Done done) = 0;

  virtual BlockExportInfo info() const = 0;
  /// Counters summed over the queues; may be a moment old.
  virtual BlockExportStatistics statistics() const = 0;
};

}  // namespace nvublk
