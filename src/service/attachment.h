#pragma once

// One attached controller and the block devices made of its namespaces: from "attach" to the last
// "detach". Everything that fails on the way is undone before its caller hears of it.
// Control-shard-affine.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/block_export.h"
#include "engine/blocking_call.h"
#include "nvme/controller.h"
#include "service/attach_request.h"
#include "service/frontends.h"

namespace nvublk::service {

class Attachment;

class AttachmentOwner {
 public:
  /// The controller is disconnected and no device is left. The last call about `attachment`, which
  /// can be destroyed, but not from within this call.
  virtual void attachment_ended(Attachment& attachment) = 0;

 protected:
  ~AttachmentOwner() = default;
};

/// What all attachments of a daemon share.
struct AttachmentEnvironment {
  ShardSet shards;
  Frontends* frontends = nullptr;
  AttachmentOwner* owner = nullptr;
  std::string run_directory;
};

class Attachment final : private nvme::ControllerListener {
 public:
  using Done = std::function<void(Status status)>;
  struct Device {
    std::uint32_t nsid = 0;
    std::string name;  ///< "nvublk0n1"
    nvme::Namespace* block = nullptr;
    std::unique_ptr<BlockExport> shown;  ///< null before it starts and after it is gone
    bool stopping = false;
    bool gone = false;  ///< it has stopped, or never started
  };

  /// `request` has its controller's name and host identity.
  static Result<std::unique_ptr<Attachment>> create(const AttachmentEnvironment& environment,
                                                    AttachRequest request);
  /// Before start(), or after attachment_ended().
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  /// Connects and makes the devices. On failure everything is undone and the attachment has ended
  /// when `done` runs.
  void start(Done done);
  /// Gives up a start() that has not ended; its `done` gets kCancelled with `reason`. Harmless at
  /// other times.
  void cancel(std::string reason);
  /// Takes away the devices with these namespace ids (all: empty list), and the controller with the
  /// last one. Without `force` nothing is touched when one of them is in use. While start() runs,
  /// it is cancelled; `done` runs when that is through.
  void detach(const std::vector<std::uint32_t>& nsids, bool force, Done done);

  const std::string& name() const { return controller_->name(); }
  const AttachRequest& request() const { return request_; }
  /// For commands of the user's own. It may be connecting, or be going.
  nvme::Controller& controller() { return *controller_; }
  nvme::ControllerStatus controller_status() const { return controller_->status(); }
  nvme::ControllerState controller_state() const { return controller_->state(); }
  /// The devices that there are, in the order of their namespace ids.
  std::vector<const Device*> devices() const;
  bool live() const { return phase_ == Phase::kLive; }

 private:
  enum class Phase : std::uint8_t {
    kNew,
    kChoosing,  ///< looks which front-end there is
    kConnecting,
    kStarting,  ///< devices start, one after the other
    kLive,
    kChecking,  ///< looks whether one of targets_ is in use
    kStopping,  ///< devices of targets_ stop, one after the other
    kDisconnecting,
    kEnded,
  };

  Attachment(const AttachmentEnvironment& environment, AttachRequest request);
  void controller_state_changed(nvme::ControllerState state) override;
  void namespaces_changed(const std::vector<std::uint32_t>& nsids) override;

  bool attaching() const;
  void frontend_chosen(Result<std::string> name);
  void connected(Status status);
  Status choose_namespaces();
  Error missing_namespace(std::uint32_t nsid) const;
  void start_device(std::size_t index);
  void device_started(std::size_t index, Status status);
  void undo(Error reason);
  void check_targets();
  void begin_stopping(std::vector<Device*> targets, bool force);
  void stop_devices();
  void device_stopped(Device& device, Status status);
  void stopped();
  void disconnect();
  void finish(Status status);
  void end();
  void stop_overdue();
  void bury_gone_devices();
  std::vector<Device*> select(const std::vector<std::uint32_t>& nsids);

  const AttachmentEnvironment& environment_;
  AttachRequest request_;
  std::string frontend_;
  std::unique_ptr<nvme::Controller> controller_;
  Phase phase_ = Phase::kNew;
  std::vector<Device> devices_;
  Done done_;
  Done detached_;          ///< of a detach() that came while start() ran
  std::string cancelled_;  ///< why start() is given up, empty if it is not
  bool lost_ = false;      ///< the connection broke while devices started
  bool force_ = false;
  bool stops_all_ = false;  ///< no device stays
  std::vector<Device*> targets_;
  Status outcome_;  ///< what `done_` gets in the end
  BlockingCall checking_;
  Timer overdue_;
  Deferred bury_;
};

}  // namespace nvublk::service
