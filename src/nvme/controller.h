#pragma once

// One NVMe controller: its admin queue and life on the control shard, an I/O queue pair on each of
// its I/O shards. Control-shard-affine; callbacks run on the control shard, never from within the
// call that takes them.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/shard_set.h"
#include "nvme/admin_commands.h"
#include "nvme/controller_profile.h"
#include "nvme/controller_status.h"
#include "nvme/io_passthrough.h"
#include "nvme/io_queue_pair.h"
#include "nvme/namespace.h"
#include "nvme/spec/async_event.h"
#include "nvme/spec/features.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

/// NSIDs, in ascending order.
struct NamespaceChanges {
  std::vector<std::uint32_t> added;    ///< there now
  std::vector<std::uint32_t> removed;  ///< not there any more
  std::vector<std::uint32_t> resized;  ///< of another size than before
  /// Whether there is one.
  bool any() const { return !added.empty() || !removed.empty() || !resized.empty(); }
};

/// Who wants to know what becomes of a controller.
class ControllerListener {
 public:
  /// After the change, once for each.
  virtual void controller_state_changed(ControllerState state) = 0;
  /// A Namespace Attribute Changed event was read: these NSIDs appeared, vanished or changed; none
  /// named: any may have. The controller looks at them next, see namespaces_updated().
  virtual void namespaces_changed(const std::vector<std::uint32_t>& nsids) = 0;
  /// Any other asynchronous event; `log` is the beginning of the log page that it names, empty if
  /// there is none. The ANA states of the namespaces are up to date already.
  virtual void event_received(const spec::AsyncEvent& event, std::span<const std::byte> log) {
    static_cast<void>(event);
    static_cast<void>(log);
  }
  /// An event, a rescan, a reset or a reconnect led to other namespaces than before. Those removed
  /// stay as objects until the controller ends, but are not active: commands to them fail, and
  /// Namespace::inactive_reason() says why. An NSID that is both removed and added has another
  /// identity or another format now.
  virtual void namespaces_updated(const NamespaceChanges& changes) { static_cast<void>(changes); }

 protected:
  ~ControllerListener() = default;
};

/// See the top of this file.
class Controller {
 public:
  /// How what was asked for went; runs once.
  using Done = std::function<void(Status status)>;

  /// Checks and clamps `options`; the transport is made by transport_factory.h.
  static Result<std::unique_ptr<Controller>> create(const ShardSet& shards,
                                                    const ControllerOptions& options,
                                                    std::unique_ptr<Transport> transport,
                                                    ControllerListener* listener);
  /// After disconnect(), mark_failed() with all connections closed, or a failed connect() only.
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  /// Connects, initializes, identifies the namespaces and connects the I/O queues. On failure
  /// everything is closed again, and the error names the step.
  void connect(Done done);
  /// Orderly shutdown (from any state; a hanging connect is given up): requests still held fail,
  /// CC.SHN over a live admin queue, with a deadline for each step and `limit` for all, then all
  /// connections close. Always ends.
  void disconnect(Done done, Duration limit = Duration::max());
  /// Has a disconnect() that runs end earlier, `limit` from now.
  void limit_disconnect(Duration limit);
  /// From now on requests that wait or come fail with `error_number` (positive errno) instead of
  /// waiting for a connection, and those given to the device are abandoned with their connection.
  void fail_io(int error_number);

  /// Closes all connections and initializes the controller anew. I/O queue pairs of applications
  /// are disconnected (failure: reset), and theirs to reconnect. Possible while live, and, with
  /// application queues, once failed.
  void reset(Done done);
  /// While it waits to reconnect: waits no longer.
  void reconnect_now();
  /// Has the times and actions of `policy` in force from now on: reconnect_delay,
  /// ctrl_loss_timeout, fast_io_fail_timeout, keep_alive, io_timeout, admin_timeout and
  /// timeout_action; its other members do not matter. Nothing changes when they do not make sense
  /// together (check_policy). A live controller is told the keep alive timeout, and may refuse it.
  void set_policy(const ControllerOptions& policy, Done done);
  /// Has the host authenticated once more on the admin queue (and the controller, with a controller
  /// key); while live. I/O goes on. A failure is for the caller to act on: the association stays
  /// until the controller ends it. Fails with kBusy while it runs already, with kInvalidArgument
  /// without a key. [Base 2.3 §8.3.5]
  void authenticate(Done done);
  /// The keys for authenticate(), for all connections from now on and for I/O queue pairs that
  /// connect: ControllerOptions::dhchap_key and dhchap_ctrlr_key. Fails, and changes nothing, when
  /// there is a controller's but no host's.
  Status set_keys(const DhchapKeys& keys);
  /// Gives the controller up: all connections close without a shutdown, nothing is reconnected.
  void mark_failed(const Error& reason);
  /// Looks at all namespaces anew and updates namespaces(); while live. One that is asked for while
  /// another runs comes after it.
  void rescan(Done done);
  /// Whether all connections are closed.
  bool closed() const;

  /// What the controller is, from the first connect() on.
  const ControllerProfile& profile() const;
  /// Whether it has this log page or feature: as it lists them, else as Identify Controller says.
  bool supports(spec::LogPage page) const {
    return profile().log_pages.test(static_cast<std::size_t>(page));
  }
  /// The same for a feature.
  bool supports(spec::FeatureId feature) const {
    return profile().features.test(static_cast<std::size_t>(feature));
  }
  /// What limits commands, once it is live: where the controller has SGLs nothing speaks for PRPs,
  /// and the pieces of a command are those that it takes. [Base 2.1 §5.1.13.2.1] SGLS, MSDBD
  TransportLimits transport_limits() const;
  /// Commands of the caller's own, any opcode, with or without a name here ("passthrough").
  AdminCommands& admin();
  /// The same for I/O commands of controllers without application_queues: one of the I/O queue
  /// pairs carries it, beside the block devices' requests. 0; -ENXIO unless the controller is
  /// live, or with application_queues.
  int submit_io(IoPassthrough command);
  /// For controllers with application_queues, whose admin callbacks wait for this: polls once and
  /// runs them. How many ran; -ENXIO when none did and the controller has failed.
  int process_admin_completions();

  /// An I/O queue pair on the calling thread's shard; with application_queues only. Fails with the
  /// reason while the controller is connecting, resetting, failed or being detached, or when all
  /// that it grants are in use. Any thread with a shard, while the controller is attached.
  Result<IoQueuePair::Pointer> allocate_io_queue_pair(const IoQueuePairOptions& options = {});
  /// Aborts the command `cid` of `queue_pair`, which lives on the controller's shard; see
  /// AdminCommands::abort.
  int abort(IoQueuePair& queue_pair, std::uint16_t cid, AdminCommand::Done done);
  /// Aborts all commands of `queue_pair` with this tag (context), waiting ones included. 0, or
  /// -ENOENT if there are none.
  int abort_tagged(IoQueuePair& queue_pair, void* tag);
  /// The same for admin commands.
  int abort_tagged(void* tag);

  /// ControllerOptions::name, or what the transport id names.
  const std::string& name() const;
  /// Where its life is.
  ControllerState state() const;
  /// All that `status` of a daemon shows; allocates.
  ControllerStatus status() const;
  /// As they are in force: clamped, as granted, and as set_policy() changed them.
  const ControllerOptions& options() const;
  /// Valid from a successful connect() to disconnect().
  std::vector<Namespace*> namespaces() const;
  /// Valid as namespaces() is; null if there is none with this NSID.
  Namespace* find_namespace(std::uint32_t nsid) const;

 private:
  class Impl;
  explicit Controller(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nvublk::nvme
