#pragma once

// One "discover": reads a discovery subsystem's log, and those it refers to, without attaching
// anything. Control-shard-affine.

#include <functional>
#include <memory>
#include <string>

#include "nvme/discovery_walk.h"
#include "service/attach_request.h"

namespace nvublk::service {

class DiscoveryJob {
 public:
  using Done = std::function<void(Result<Json> report)>;

  /// Reads the parameters of "discover": those of "attach", where the NQN is the discovery
  /// subsystem's and may be missing, the port is 8009 for TCP, and there is no keep alive.
  static Result<AttachRequest> read_request(const Json& params);

  /// `options` have the host's identity. `raw`: the report is {"data"}, the log as bytes in base64,
  /// without those that it refers to.
  DiscoveryJob(Shard& shard, const nvme::ControllerOptions& options, bool raw);
  /// After `done` has run.
  ~DiscoveryJob();
  DiscoveryJob(const DiscoveryJob&) = delete;
  DiscoveryJob& operator=(const DiscoveryJob&) = delete;

  /// `done` runs later, when no connection is left; it must not destroy the job.
  void start(Done done);
  /// Gives up; `done` gets kCancelled with `reason`.
  void cancel(const std::string& reason);

 private:
  void advance();
  bool close_connection();
  Result<Json> outcome() const;

  Shard& shard_;
  const nvme::ControllerOptions options_;
  const bool raw_;
  std::unique_ptr<nvme::DiscoveryWalk> walk_;
  std::shared_ptr<nvme::Connection> closing_;
  std::string cancelled_;  ///< why it is given up, empty if it is not
  Done done_;
  Timer next_;
};

}  // namespace nvublk::service
