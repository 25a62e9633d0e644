#pragma once

// One attached controller and the block devices made of its namespaces: from "attach" to the last
// "detach". Everything that fails on the way is undone before its caller hears of it. While it is
// live, devices follow their namespaces: one that vanishes takes its device along, one that appears
// gets one (if all are wanted, or this one), one that changes its size has its device resized, and
// one that turns into another leaves a device that fails. An attachment can also begin with devices
// that a daemon before this one has left, and end by leaving them. Control-shard-affine.

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/block_export.h"
#include "engine/blocking_call.h"
#include "engine/shard_set.h"
#include "nvme/controller.h"
#include "service/attach_request.h"
#include "service/failing_device.h"
#include "service/frontends.h"
#include "service/pci_lease.h"
#include "service/saved_state.h"
#include "service/shard_placement.h"

namespace nvublk::service {

class Attachment;

class AttachmentOwner {
 public:
  /// The controller is disconnected and no device is left. The last call about `attachment`, which
  /// can be destroyed, but not from within this call.
  virtual void attachment_ended(Attachment& attachment) = 0;
  /// It has other devices than before: Attachment::saved() says something else.
  virtual void attachment_changed(Attachment& attachment) = 0;

 protected:
  ~AttachmentOwner() = default;
};

/// What all attachments of a daemon share.
struct AttachmentEnvironment {
  ShardSet shards;
  ShardLoad* load = nullptr;
  Frontends* frontends = nullptr;
  AttachmentOwner* owner = nullptr;
  std::string run_directory;
};

class Attachment final : private nvme::ControllerListener {
 public:
  using Done = std::function<void(Status status)>;
  struct Device {
    std::uint32_t nsid = 0;
    std::string name;                  ///< "nvublk0n1"
    int wanted_id = -1;                ///< number of the device, -1: any
    nvme::Namespace* block = nullptr;  ///< null while, and if, there is none for it
    nvme::NamespaceIdentity identity;  ///< of the namespace that it was made of
    std::uint32_t block_size_bytes = 0;
    std::unique_ptr<FailingDevice> failing;  ///< its back-end if it was resumed without a namespace
    std::unique_ptr<BlockExport> shown;      ///< null before it starts and after it is gone
    std::optional<SavedDevice> saved;        ///< left by another daemon, and not resumed yet
    bool tried = false;                      ///< to resume it, in vain
    bool taken = false;           ///< it is `saved`, but served already: its I/O fails meanwhile
    bool volatile_cache = false;  ///< the kernel knows of one, and flushes it
    bool stopping = false;
    bool forced = false;            ///< it goes by force: its I/O must not hang
    bool gone = false;              ///< it has stopped, or never started
    bool failed = false;            ///< its namespace is another one now: it stays, and fails
    std::uint64_t shown_bytes = 0;  ///< the size that it has
    std::uint64_t tried_bytes = 0;  ///< the size that it has, or should have but could not get
    std::string problem;            ///< what is wrong with it, in a sentence; empty: nothing

    /// It waits for its server.
    bool unserved() const { return saved.has_value() && !taken; }
    /// Also while it waits to be resumed: "recovering".
    BlockExportInfo info() const;
    BlockExportStatistics statistics() const;
  };

  /// `request` has its controller's name and host identity.
  static Result<std::unique_ptr<Attachment>> create(const AttachmentEnvironment& environment,
                                                    AttachRequest request);
  /// Before start(), after attachment_ended(), or when left().
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  /// Connects and makes the devices. On failure everything is undone and the attachment has ended
  /// when `done` runs.
  void start(Done done);
  /// Instead of start(): connects, for as long as the policy says, and resumes the devices of
  /// `saved`; each that cannot be has its I/O fail. `quiet`: no command of an earlier daemon is
  /// left with the controller.
  void resume(const SavedAttachment& saved, bool quiet);
  /// Tries at once what resume() would try later.
  void resume_now();
  /// For the end of a daemon whose devices stay. `done` gets whether nothing is left with the
  /// controller, once that is so or has taken too long. Nothing may follow but the process's end.
  void leave(std::function<void(bool quiet)> done);
  /// Whether leave() may be called: nothing is just being changed.
  bool can_leave() const { return phase_ == Phase::kLive || phase_ == Phase::kResuming; }
  /// Whether its devices can outlive the daemon.
  bool outlives_daemon() const;
  /// leave() is through.
  bool left() const { return phase_ == Phase::kLeaving && left_ == nullptr; }
  /// What a later daemon needs for its devices.
  SavedAttachment saved() const;
  /// It waits for its controller, or for devices that could not be resumed.
  bool resuming() const { return phase_ == Phase::kResuming; }
  /// Gives up a start() that has not ended; its `done` gets kCancelled with `reason`. Harmless at
  /// other times.
  void cancel(std::string reason);
  /// Takes away the devices with these namespace ids (all: empty list), and the controller with the
  /// last one. Without `force` nothing is touched when one of them is in use; with it, what the
  /// controller does not answer in time fails, and a detach that runs is waited for no longer than
  /// that. While start() runs, it is cancelled; `done` runs when that is through.
  void detach(const std::vector<std::uint32_t>& nsids, bool force, Done done);
  /// Whether a local drive is left with vfio-pci when the attachment ends.
  void keep_bound(bool keep) { lease_.keep(keep); }
  /// The drive that was pulled out is back: waits no longer to reconnect.
  void drive_arrived() { controller_->reconnect_now(); }

  /// Whether the controller has failed for good: nothing is tried any more.
  bool given_up() const {
    return !resuming() && controller_state() == nvme::ControllerState::kFailed;
  }
  /// See Controller::set_policy; for one that was given up only if its drive may come back, which
  /// is attached with that policy then.
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
    kResuming,  ///< as kConnecting and kStarting, for devices that are there already
    kLive,
    kUpdating,  ///< a device follows what became of its namespace; one after the other
    kChecking,  ///< looks whether one of targets_ is in use
    kStopping,  ///< devices of targets_ stop, one after the other
    kDisconnecting,
    kGivingBack,  ///< a local drive, to the kernel
    kLeaving,
    kEnded,
  };

  /// A detach() that came while a device followed its namespace, or with force during another one.
  struct WaitingDetach {
    std::vector<std::uint32_t> nsids;
    bool force = false;
    Done done;
  };

  Attachment(const AttachmentEnvironment& environment, AttachRequest request);
  Status make_controller();
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
  std::string why_not_shown(const nvme::Namespace& block) const;
  std::string why_none() const;
  void start_device(std::list<Device>::iterator device);
  void device_started(std::list<Device>::iterator device, Status status);
  void make_export(Device& device);
  void undo(Error reason);
  void check_targets();
  void begin_stopping(std::vector<Device*> targets, bool force);
  void stop_devices();
  void rest();
  void device_stopped(Device& device, const Status& status);
  void stopped(const Status& refusal);
  void disconnect();
  void finish(Status status);
  void end();
  void ended();
  void overtake(const std::vector<std::uint32_t>& nsids, Done done);
  void await_controller();
  void stop_overdue();
  void go_on();
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
  void fail_io_that_hangs(const std::vector<std::uint32_t>& nsids);

  // Devices that another daemon has left.
  void resume_connect();
  void resume_taken(const Status& drive);
  void resume_connected(const Status& status);
  void resume_failed(const Error& error);
  void resume_later();
  bool take_next();
  void device_taken(Device& device, const Status& status);
  void resume_timer_fired();
  void resume_next();
  void resume_device(Device& device);
  void resume_taken_device(Device& device, const std::string& obstacle);
  void resume_refused(Device& device, const Status& status);
  void device_resumed(Device& device, const Status& status);
  void resumed();
  std::string resume_obstacle(const SavedDevice& saved, nvme::Namespace*& block) const;
  void resume_again();
  bool waits_to_resume() const;
  void give_up_resuming(std::string reason);
  void device_left(const Status& status);
  void leave_controller();

  const AttachmentEnvironment& environment_;
  AttachRequest request_;
  const ShardPlacement placement_;
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
  std::vector<Device*> targets_;
  Status outcome_;  ///< what `done_` gets in the end
  // Of kResuming and kLeaving.
  Instant resume_began_{};
  bool quiet_ = true;         ///< no command of an earlier daemon is left
  bool drive_taken_ = false;  ///< if it is a local one
  bool resume_connecting_ = false;
  bool resume_connected_ = false;
  bool resume_device_runs_ = false;
  std::string resume_given_up_;  ///< why devices are not to have their namespaces any more
  std::vector<std::unique_ptr<BlockExport>> resume_rests_;  ///< of attempts that failed
  std::function<void(bool quiet)> left_;
  unsigned leaving_ = 0;  ///< devices that have not answered
  BlockingCall checking_;
  PciLease lease_;
  Timer overdue_;
  Timer resume_timer_;
  Deferred bury_;
};

}  // namespace nvublk::service
