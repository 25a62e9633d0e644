#pragma once

// One NVMe controller: its admin queue and life on the control shard, an I/O queue pair on each of
// its I/O shards. Control-shard-affine; callbacks run on the control shard, never from within the
// call that takes them.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/block_export.h"
#include "engine/error.h"
#include "nvme/controller_status.h"
#include "nvme/namespace.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

/// Who wants to know what becomes of a controller.
class ControllerListener {
 public:
  virtual void controller_state_changed(ControllerState state) = 0;
  /// A Namespace Attribute Changed event was read: these NSIDs appeared, vanished or changed. The
  /// namespaces of the controller themselves stay as they are until it is told to rescan.
  virtual void namespaces_changed(const std::vector<std::uint32_t>& nsids) = 0;

 protected:
  ~ControllerListener() = default;
};

class Controller {
 public:
  using Done = std::function<void(Status status)>;

  /// Checks and clamps `options`; the transport is made by transport_factory.h.
  static Result<std::unique_ptr<Controller>> create(const ShardSet& shards,
                                                    const ControllerOptions& options,
                                                    std::unique_ptr<Transport> transport,
                                                    ControllerListener* listener);
  /// After disconnect() or a failed connect() only.
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  /// Connects, initializes, identifies the namespaces and connects the I/O queues. On failure
  /// everything is closed again, and the error names the step.
  void connect(Done done);
  /// Orderly shutdown (from any state; a hanging connect is given up): requests still held fail,
  /// CC.SHN over a live admin queue with a deadline, then all connections close. Always ends.
  void disconnect(Done done);
  /// From now on requests that wait or come fail with `error_number` (positive errno) instead of
  /// waiting for a connection, and those given to the device are abandoned with their connection.
  void fail_io(int error_number);

  const std::string& name() const;
  ControllerState state() const;
  ControllerStatus status() const;
  const ControllerOptions& options() const;
  /// Valid from a successful connect() to disconnect().
  std::vector<Namespace*> namespaces() const;
  Namespace* find_namespace(std::uint32_t nsid) const;

 private:
  class Impl;
  explicit Controller(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nvublk::nvme
