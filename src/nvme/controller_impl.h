#pragma once

// What Controller is made of: its life from the first connect over reconnects to the shutdown.
// Control-shard-affine.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/step_runner.h"
#include "nvme/announced_namespaces.h"
#include "nvme/async_events.h"
#include "nvme/controller.h"
#include "nvme/controller_init.h"
#include "nvme/controller_shutdown.h"
#include "nvme/io_queue.h"
#include "nvme/io_queue_ledger.h"
#include "nvme/keep_alive.h"
#include "nvme/queue_authentication.h"
#include "nvme/recovery.h"

namespace nvublk::nvme {

class Controller::Impl final : public QueuePairOwner,
                               public IoQueueListener,
                               public AsyncEventListener,
                               private QueueAuthentication::Listener,
                               public StepOwner<ControllerInit, ControlAction>,
                               public StepOwner<ControllerShutdown, ControlAction>,
                               public StepOwner<Recovery, RecoveryAction> {
 public:
  Impl(const ShardSet& shards, const ControllerOptions& options,
       std::unique_ptr<Transport> transport, ControllerListener* listener);
  ~Impl();

  void connect(Done done);
  void disconnect(Done done, Duration limit);
  void limit_disconnect(Duration limit);
  void fail_io(int error_number);
  void reset(Done done);
  void abandon(const Error& reason);
  void reconnect_now();
  void set_policy(const ControllerOptions& policy, Done done);
  void rescan(Done done);
  void authenticate(Done done);
  Status set_keys(const DhchapKeys& keys);
  bool closed() const { return all_closed() && !reactor_.scheduled(closed_); }
  const ControllerProfile& profile() const { return profile_; }
  TransportLimits transport_limits() const;
  AdminCommands& admin() { return admin_; }
  int submit_io(IoPassthrough command);
  const std::shared_ptr<IoQueueLedger>& ledger() const { return ledger_; }
  Reactor& reactor() { return reactor_; }
  ControllerState state() const { return state_; }
  /// Once it is live: as they are in force.
  const ControllerOptions& options() const { return used_; }
  ControllerStatus status() const;
  std::vector<Namespace*> namespaces() const;

 private:
  using InitRunner = StepRunner<ControllerInit, ControlAction, ControlOutcome>;
  using ShutdownRunner = StepRunner<ControllerShutdown, ControlAction, ControlOutcome>;
  using RecoveryRunner = StepRunner<Recovery, RecoveryAction, RecoveryOutcome>;

  // What the control shard knows of an I/O queue.
  struct IoSlot {
    std::unique_ptr<IoQueue> queue;
    bool open = false;  ///< started, and not reported closed
    bool live = false;
    bool released = false;  ///< sends what the block devices want
    std::string failure;
  };

  // QueuePairOwner: the admin queue.
  void queue_connected(std::uint16_t qid) override;
  void queue_disconnected(std::uint16_t qid, const Error& reason) override;
  // IoQueueListener
  void io_queue_live(std::uint16_t qid, bool sq_flow_control_disabled) override;
  void io_queue_closed(std::uint16_t qid, const Error& reason, bool cut_off_writes) override;
  void io_queue_released(std::uint16_t qid) override;
  void io_command_timed_out(std::uint16_t qid, std::uint16_t cid) override;
  // AsyncEventListener
  void namespaces_changed(const std::vector<std::uint32_t>& nsids) override;
  void event_received(const spec::AsyncEvent& event, std::span<const std::byte> log) override;
  // QueueAuthentication::Listener: the admin queue.
  void authenticated(const Result<DhchapResult>& result) override;
  // StepOwner
  void perform(ControllerInit& machine, const ControlAction& action) override;
  void ended(ControllerInit& machine) override;
  void perform(ControllerShutdown& machine, const ControlAction& action) override;
  void ended(ControllerShutdown& machine) override;
  void perform(Recovery& machine, const RecoveryAction& action) override;
  void ended(Recovery& machine) override;

  void stop_authentication(const Error& reason);

  void set_state(ControllerState state);
  void start_init();
  void perform_action(const ControlAction& action);
  void send_admin(const spec::SubmissionEntry& sqe, std::span<std::byte> data, Duration timeout);
  void send_fabrics_connect(bool disable_sq_flow_control);
  void on_admin_done(spec::NvmeStatus status, const spec::CompletionEntry& entry);
  void on_fabrics_connect_done(spec::NvmeStatus status, const spec::CompletionEntry& entry);
  void report(ControlOutcome outcome);
  void report_failure(const Error& error);
  bool sequence_waits() const;
  bool connection_ended() const;

  void connect_io_queues();
  Status make_io_queues();
  std::uint32_t queue_slots() const;
  std::uint32_t most_commands() const;
  static std::uint32_t in_capsule_bytes(const spec::IdentifyController& identify);
  static std::uint32_t max_descriptors(const spec::IdentifyController& identify);
  Status check_serial() const;
  void check_io_queues_live();
  void want_rescan(std::span<const std::uint32_t> nsids);
  void begin_rescan();
  void rescan_ended(const ControllerInit& machine);
  void end_rescans(const Status& status);
  void look_again_if_missing(const NamespaceChanges& changes);
  NamespaceChanges update_namespaces(const ControllerProfile& profile);
  void update_namespace(const NamespaceProfile& each, const ControllerProfile& profile,
                        NamespaceChanges& changes);
  void retire_namespace(std::uint32_t nsid, NamespaceFate fate, std::string reason,
                        NamespaceChanges& changes);
  void apply_ana_groups(std::span<const AnaGroup> groups);

  void enter_live();
  void note_used_options();
  void connection_lost(const Error& reason);
  void close_all(const Error& reason);
  bool all_closed() const;
  void check_all_closed();
  void on_all_closed();
  bool recovering() const {
    return state_ == ControllerState::kReconnecting || state_ == ControllerState::kResetting;
  }
  void begin_recovery(ControllerState state);
  void attempt_failed(const Error& error);
  void recovery_step_done();
  void resume_io();
  void check_released();
  void arm_loss_timers();
  void cancel_recovery();
  void fail_io_fast();
  void fail_all_io();
  Instant old_commands_end() const;
  void give_up(const Error& reason);
  void set_keep_alive(milliseconds wanted, Done done);
  void set_unavailable(ControllerState state);
  void finish(Done& done, Status status);
  void finish_connect(Status status) { finish(connect_done_, std::move(status)); }
  void finish_disconnect();
  void cancel_sequences();
  void fill_step(ControllerStatus& status) const;
  StepView running_step(std::string& name) const;
  void fill_recovery(ControllerStatus& status) const;
  std::uint64_t answered_commands() const;

  const ShardSet shards_;
  ControllerOptions options_;
  ControllerOptions used_;  ///< what became of options_
  std::shared_ptr<Transport> transport_;
  std::shared_ptr<IoQueueLedger> ledger_;
  ControllerListener* listener_;
  Reactor& reactor_;
  ControllerState state_ = ControllerState::kNew;

  QueuePair admin_queue_;
  bool admin_open_ = false;
  std::string admin_failure_;
  spec::ConnectData connect_data_{};
  bool asked_no_flow_control_ = false;
  bool sq_flow_control_disabled_ = false;
  QueueAuthentication authentication_;
  std::optional<DhchapResult> authenticated_;  ///< of this association
  AdminCommands admin_;
  KeepAlive keep_alive_;
  AsyncEvents async_events_;
  std::vector<IoSlot> io_;
  std::size_t passthroughs_ = 0;      ///< I/O commands of the user's own under way
  std::size_t next_passthrough_ = 0;  ///< which queue takes the next one
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  std::vector<std::unique_ptr<Namespace>> removed_namespaces_;
  ControllerProfile profile_;

  std::unique_ptr<ControllerInit> init_;
  std::unique_ptr<InitRunner> init_runner_;
  std::unique_ptr<ControllerShutdown> shutdown_;
  std::unique_ptr<ShutdownRunner> shutdown_runner_;
  std::unique_ptr<Recovery> recovery_;  ///< the one that runs or the last one
  std::unique_ptr<RecoveryRunner> recovery_runner_;

  Done connect_done_;
  Done disconnect_done_;
  Done reset_done_;
  Done authenticate_done_;
  std::vector<Done> rescan_waiting_;  ///< for one that has not begun
  std::vector<Done> rescan_running_;
  bool rescan_wanted_ = false;
  bool rescan_all_ = false;                  ///< of the one that is wanted
  std::vector<std::uint32_t> rescan_nsids_;  ///< else only these, in any order
  AnnouncedNamespaces announced_;
  bool command_outstanding_ = false;  ///< a sequence's, perhaps of one that has ended
  bool closing_ = false;
  bool abandoned_ = false;  ///< fail_io was called: never reconnect
  bool closed_reported_ = false;
  std::optional<Error> last_error_;
  Instant lost_since_{};
  Instant cut_off_at_{};  ///< when commands other than reads were last left without an answer
  milliseconds old_keep_alive_{0};  ///< of the connection that was lost
  bool fast_failed_ = false;        ///< fast_io_fail_tmo is over
  Timer wait_timer_;                ///< the recovery's
  Timer loss_timer_;
  Timer fast_fail_timer_;
  Timer shutdown_timer_;
  Timer look_again_timer_;
  Deferred released_;
  Deferred closed_;
  Deferred rescan_;
};

}  // namespace nvublk::nvme
