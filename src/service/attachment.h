#pragma once

// One attached controller and the block devices made of its namespaces: from "attach" to the last
// "detach". Everything that fails on the way is undone before its caller hears of it. While it is
// live, devices follow their namespaces: one that vanishes takes its device along, one that appears
// gets one (if all are wanted, or this one), one that changes its size has its device resized, and
// one that turns into another leaves a device that fails. Control-shard-affine.

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/block_export.h"
#include "engine/blocking_call.h"
#include "nvme/controller.h"
#include "service/attach_request.h"
#include "service/frontends.h"
#include "service/pci_lease.h"

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
    std::string name;    ///< "nvublk0n1"
    int wanted_id = -1;  ///< number of the device, -1: any
    nvme::Namespace* block = nullptr;
    std::unique_ptr<BlockExport> shown;  ///< null before it starts and after it is gone
    bool stopping = false;
    bool gone = false;              ///< it has stopped, or never started
    bool failed = false;            ///< its namespace is another one now: it stays, and fails
    std::uint64_t shown_bytes = 0;  ///< the size that it has
    std::uint64_t tried_bytes = 0;  ///< the size that it has, or should have but could not get
    std::string problem;            ///< what is wrong with it, in a sentence; empty: nothing
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
  /// Whether a local drive is left with vfio-pci when the attachment ends.
  void keep_bound(bool keep) { lease_.keep(keep); }
  /// The drive that was pulled out is back: waits no longer to reconnect.
  void drive_arrived() { controller_->reconnect_now(); }

  /// See Controller::set_policy.
  void set_policy(const nvme::ControllerOptions& policy, Done done);

  const std::string& name() const { return controller_->name(); }
  const AttachRequest& request() const { return request_; }
  /// For commands of the user's own. It may be connecting, or be going.
  nvme::Controller& controller() { return *controller_; }
  nvme::ControllerStatus controller_status() const { return controller_->status(); }
  nvme::ControllerState controller_state() const { return controller_->state(); }
  /// The devices that there are, in the order of their namespace ids.
  std::vector<const Device*> devices() const;
  bool live() const { return phase_ == Phase::kLive; }
  /// Why a namespace that should have a device has none; empty if there is nothing to say.
  std::string namespace_problem(std::uint32_t nsid) const;

 private:
  enum class Phase : std::uint8_t {
    kNew,
    kChoosing,  ///< looks which front-end there is
    kTaking,    ///< takes a local drive from the kernel
    kConnecting,
    kStarting,  ///< devices start, one after the other
    kLive,
    kUpdating,  ///< a device follows what became of its namespace; one after the other
    kChecking,  ///< looks whether one of targets_ is in use
    kStopping,  ///< devices of targets_ stop, one after the other
    kDisconnecting,
    kGivingBack,  ///< a local drive, to the kernel
    kEnded,
  };

  /// A detach() that came while a device followed its namespace.
  struct WaitingDetach {
    std::vector<std::uint32_t> nsids;
    bool force = false;
    Done done;
  };

  Attachment(const AttachmentEnvironment& environment, AttachRequest request);
  void controller_state_changed(nvme::ControllerState state) override;
  void namespaces_changed(const std::vector<std::uint32_t>& nsids) override;
  void event_received(const nvme::spec::AsyncEvent& event, std::span<const std::byte> log) override;
  void namespaces_updated(const nvme::NamespaceChanges& changes) override;

  bool attaching() const;
  void frontend_chosen(Result<std::string> name);
  void taken(Status drive);
  void connected(Status status);
  Status choose_namespaces();
  Error missing_namespace(std::uint32_t nsid) const;
  void start_device(std::list<Device>::iterator device);
  void device_started(std::list<Device>::iterator device, Status status);
  void make_export(Device& device);
  void undo(Error reason);
  void check_targets();
  void begin_stopping(std::vector<Device*> targets, bool force);
  void stop_devices();
  void device_stopped(Device& device, Status status);
  void stopped();
  void disconnect();
  void finish(Status status);
  void end();
  void ended();
  void stop_overdue();
  void bury_gone_devices();
  std::vector<Device*> select(const std::vector<std::uint32_t>& nsids);

  // Devices that follow their namespaces.
  bool wants(std::uint32_t nsid) const;
  void update_devices();
  void next_update();
  bool update_device(Device& device);
  bool add_device(std::uint32_t nsid);
  void device_removed(Device& device, const Status& status);
  void device_resized(Device& device, const Status& status);
  void device_added(Device& device, const Status& status);
  void update_step_ended();
  void wait_for_update(const std::vector<std::uint32_t>& nsids, bool force, Done done);
  bool run_waiting_detach();
  void fail_io_that_hangs();

  const AttachmentEnvironment& environment_;
  AttachRequest request_;
  std::string frontend_;
  std::unique_ptr<nvme::Controller> controller_;
  Phase phase_ = Phase::kNew;
  std::list<Device> devices_;
  Done done_;
  Done detached_;          ///< of a detach() that came while start() ran
  std::string cancelled_;  ///< why start() is given up, empty if it is not
  bool lost_ = false;      ///< the connection broke while devices started
  bool update_wanted_ = false;
  std::vector<std::uint32_t> appeared_;  ///< namespaces that may get a device
  std::vector<std::uint32_t> blocked_;   ///< the same, once a failed device is out of their way
  std::map<std::uint32_t, std::string> namespace_problems_;
  Device* adding_ = nullptr;   ///< starts at the moment, for kUpdating
  unsigned update_calls_ = 0;  ///< of the front-end, that have not answered yet
  std::deque<WaitingDetach> waiting_detaches_;
  bool force_ = false;
  bool stops_all_ = false;  ///< no device stays
  std::vector<Device*> targets_;
  Status outcome_;  ///< what `done_` gets in the end
  BlockingCall checking_;
  PciLease lease_;
  Timer overdue_;
  Deferred bury_;
};

}  // namespace nvublk::service
