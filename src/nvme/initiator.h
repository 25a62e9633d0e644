#pragma once

// Where an application starts: it finds and attaches controllers, shares those that are attached
// already, and detaches them. The application owns it; there is nothing global. Shard-affine: the
// thread adopts a shard (Shard::adopt_current_thread) that it does not run; every poll here, of a
// controller, a queue pair or a poll group is one turn of it. If nobody polls, nothing happens.
//
//   Initiator initiator(*shard, make_transport, options);
//   Result<Controller*> controller = initiator.connect(id);
//   auto queue = (*controller)->allocate_io_queue_pair();
//   ... submit, process_completions() ...
//   initiator.detach(**controller);

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nvme/controller.h"
#include "nvme/controller_options.h"
#include "nvme/transport_id.h"
#include "nvme/transport_options.h"

namespace nvublk::nvme {

class Connection;
class DiscoveryWalk;
class Initiator;

/// All run in ProbeContext::poll(), outside of any turn: they may call whatever they like, but not
/// destroy their context. Any may be empty.
struct ProbeCallbacks {
  /// May edit the options, or return false: then the controller is left alone.
  std::function<bool(const TransportId& id, ControllerOptions& options)> probe;
  /// A controller is ready; `used` are its options after all clamping.
  std::function<void(const TransportId& id, Controller& controller, const ControllerOptions& used)>
      attach;
  /// `error.step` is the step at which it failed.
  std::function<void(const TransportId& id, const Error& error)> attach_fail;
  /// A controller that is attached is not there any more: one that an earlier probe of the same
  /// discovery subsystem attached is not in its log; a local drive that this probe looks for (all,
  /// without an id) is not on its bus. Once each; it stays attached until it is detached.
  std::function<void(Controller& controller)> remove;
  /// Of controllers that are attached newly; outlives them.
  ControllerListener* listener = nullptr;
};

/// Controllers on their way to being attached. Destroying it gives up those that are not ready.
class ProbeContext {
 public:
  ~ProbeContext();
  ProbeContext(const ProbeContext&) = delete;
  ProbeContext& operator=(const ProbeContext&) = delete;

  /// One turn, and the callbacks of what has happened. -EAGAIN while work remains, then 0.
  int poll();

 private:
  friend class Initiator;
  struct Attempt {
    TransportId id;
    std::shared_ptr<Connection> connection;
    bool first = false;  ///< whether it was begun here, or is another's
  };

  ProbeContext(Initiator& initiator, ProbeCallbacks callbacks);
  int advance(bool may_sleep);
  bool waits() const;
  bool advance_discovery();
  void report_unplugged();
  void remove(Connection& connection);
  void begin(const TransportId& id, const ControllerOptions& options);
  void consider(const TransportId& id);
  void finish(Attempt& attempt);
  void failed(const TransportId& id, const Error& error);

  Initiator& initiator_;
  const ProbeCallbacks callbacks_;
  std::optional<TransportId> discovery_id_;
  bool looks_for_local_ = false;         ///< and has not told yet which ones are gone
  std::optional<TransportId> local_id_;  ///< of the only one it looks for
  std::vector<TransportId> candidates_;  ///< known without a discovery; the callback has yet to see
  std::unique_ptr<DiscoveryWalk> walk_;
  std::vector<Attempt> attempts_;
};

/// Controllers on their way to being detached.
class DetachContext {
 public:
  /// -EAGAIN while one is not gone yet, then 0.
  int poll();

 private:
  friend class Initiator;
  Initiator* initiator_ = nullptr;
  std::vector<std::shared_ptr<Connection>> closing_;
};

/// See the top of this file.
class Initiator {
 public:
  /// `defaults`: what options begin with; application_queues is always set, and a host that has no
  /// NQN gets one of a random UUID. `maker` and `shard` outlive it. `sysfs`: where the kernel shows
  /// PCIe devices.
  Initiator(Shard& shard, TransportMaker maker, const ControllerOptions& defaults,
            std::string sysfs = "/sys");
  /// Detaches what is attached; waits for it.
  ~Initiator();
  Initiator(const Initiator&) = delete;
  Initiator& operator=(const Initiator&) = delete;

  /// What options begin with in probe callbacks.
  const ControllerOptions& default_options() const { return defaults_; }

  /// Looks for controllers: all that a discovery subsystem's log lists when `id` names one, else
  /// the one that `id` names. No id means all PCIe devices that are bound to vfio-pci.
  Result<std::unique_ptr<ProbeContext>> probe_async(const std::optional<TransportId>& id,
                                                    ProbeCallbacks callbacks);
  /// A loop over probe_async; failures of controllers go to attach_fail.
  Status probe(const std::optional<TransportId>& id, ProbeCallbacks callbacks);
  /// Attaches the one controller that `id` names, which may be a discovery controller.
  Result<std::unique_ptr<ProbeContext>> connect_async(const TransportId& id,
                                                      const ControllerOptions& options,
                                                      ProbeCallbacks callbacks);
  /// A loop over connect_async.
  Result<Controller*> connect(const TransportId& id, const ControllerOptions& options);
  /// With the default options.
  Result<Controller*> connect(const TransportId& id) { return connect(id, defaults_); }

  /// Null if it is not attached.
  Controller* find(const TransportId& id, const std::string& hostnqn) const;
  /// Those that are ready and not being detached.
  std::vector<Controller*> attached() const;
  /// How often it was attached and not detached.
  unsigned references(const Controller& controller) const;
  /// Calls `removed` for each attached controller that has failed, once.
  void scan_attached(const std::function<void(Controller& controller)>& removed);

  /// A loop over Controller::reset(): closes all connections of `controller`, which is attached,
  /// and initializes it anew. Its I/O queue pairs are disconnected then (failure: reset), and
  /// theirs to reconnect. Fails with kBusy from within a turn, or unless it is live or has failed;
  /// with kNotFound when it is not attached; else as connecting does. [Base 2.1 §3.7.2]
  Status reset(Controller& controller);

  /// Gives one reference back; with the last one the controller is shut down and destroyed. All
  /// its queue pairs fail then. Not from within a turn.
  Status detach(Controller& controller);
  /// The same without waiting: `context` may collect several.
  Status detach_async(Controller& controller, DetachContext& context);

 private:
  friend class ProbeContext;
  friend class DetachContext;

  void turn(bool may_sleep);
  void reap();
  std::shared_ptr<Connection> lookup(const TransportId& id, const std::string& hostnqn) const;
  std::shared_ptr<Connection> lookup(const Controller& controller) const;
  void abandon(const std::shared_ptr<Connection>& connection);

  Shard& shard_;
  const TransportMaker maker_;
  ControllerOptions defaults_;
  const std::string sysfs_;
  std::vector<std::shared_ptr<Connection>> connections_;  ///< also those that close
};

}  // namespace nvublk::nvme
