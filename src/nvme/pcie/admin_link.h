#pragma once

// How I/O queues of any shard ask for admin commands that create and delete them: on the control
// shard, through the admin queue that there is at that moment. Its answer may also be that the
// controller was reset, which deletes all queues and ends all access to our memory. Thread-safe.

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/error.h"
#include "engine/shard.h"
#include "nvme/pcie/pcie_session.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/sqe.h"
#include "nvme/spec/status.h"

namespace nvublk::nvme::pcie {

struct AdminOutcome {
  bool reset = false;  ///< the controller was reset, or is gone: it knows no queue any more
  spec::NvmeStatus status{};
};

/// What the admin queue does for the link. Control-shard-affine.
class AdminLinkServer {
 public:
  using Done = std::function<void(AdminOutcome outcome)>;
  using Accessed = std::function<void(std::shared_ptr<PcieSession> session, spec::Cap cap)>;
  virtual void identified(const spec::IdentifyController& identify) = 0;
  /// `done` runs exactly once; with null when there is no controller.
  virtual void access(Accessed done) = 0;
  /// `done` runs exactly once.
  virtual void run(const spec::SubmissionEntry& sqe, Done done) = 0;
  /// Takes the controller out of service, because of `reason`; `done` gets a reset.
  virtual void reset(const Error& reason, Done done) = 0;

 protected:
  ~AdminLinkServer() = default;
};

class AdminLink : public std::enable_shared_from_this<AdminLink> {
 public:
  /// What a queue needs to begin with; `session` is null when the controller is not there.
  struct Access {
    std::shared_ptr<PcieSession> session;
    spec::Cap cap;
  };

  /// Control shard: the admin queue of now, or null.
  void serve(Shard& control, AdminLinkServer* server);
  void identified(const spec::IdentifyController& identify);
  /// Control shard: a device for the next admin queue. A reset closes none: that would have the
  /// kernel reset the function too, and somebody else might take it meanwhile.
  void keep_device(std::shared_ptr<PcieDevice> device);
  /// The one that was kept, once; or null.
  std::shared_ptr<PcieDevice> take_device() { return std::move(kept_); }
  /// Lets go of the one that was kept, and keeps none from now on.
  void keep_no_device();

  /// `done` runs on `asker`, never from within this call; `asker` outlives that.
  void access(Shard& asker, std::function<void(Access access)> done);
  void run(Shard& asker, const spec::SubmissionEntry& sqe, AdminLinkServer::Done done);
  void reset(Shard& asker, const Error& reason, AdminLinkServer::Done done);

 private:
  void ask(Shard& asker, AdminLinkServer::Done done,
           std::function<void(AdminLinkServer& server, AdminLinkServer::Done done)> question);

  Shard* control_ = nullptr;           // set before the first I/O queue is made
  AdminLinkServer* server_ = nullptr;  // control shard
  std::shared_ptr<PcieDevice> kept_;   // control shard
  bool keeps_ = true;                  // control shard
};

}  // namespace nvublk::nvme::pcie
