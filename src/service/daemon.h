#pragma once

// The daemon: shards, attachments, the control socket, signals, and the orderly end of them all.

#include <memory>
#include <optional>
#include <string>

#include "engine/log.h"
#include "service/attachments.h"
#include "service/control_server.h"
#include "service/daemon_methods.h"
#include "service/hotplug.h"
#include "service/instance.h"
#include "service/recovery.h"
#include "service/shard_pool.h"
#include "service/signal_watch.h"
#include "service/state_keeper.h"
#include "service/system_frontends.h"
#include "service/system_root.h"

namespace nvublk::service {

struct DaemonOptions {
  std::string socket_path;
  std::string run_directory;
  ShardPool::Options shards;
  LogLevel log_level = LogLevel::kInfo;
  /// How long the end waits for devices in use to be released before it takes them away by force.
  seconds stop_timeout{10};
  bool take_over = false;  ///< from the daemon that serves the socket, if there is one
  /// It may have been started in an initial RAM disk: it ends in the root directory that process 1
  /// has by then.
  bool follow_root = false;
  int ready_fd = -1;  ///< gets "ready\n" or the error, for the command line that starts us
};

class Daemon {
 public:
  /// Runs until told to end; returns the process's exit status: 0, or 1 when it could not start or
  /// had to take away devices that were in use.
  static int run(const DaemonOptions& options);

 private:
  enum class Phase : std::uint8_t { kRunning, kStopping, kForcing, kLeaving, kClosing };

  Daemon(const DaemonOptions& options, Instance instance, std::unique_ptr<ShardPool> pool);
  Status start(const sigset_t& signals);
  void loop();
  void signal_received(int signal);
  void begin_stop(bool force);
  void begin_hand_over();
  void leave();
  void stop_attachments();
  bool any_to_stop() const;
  void attachments_stopped(const Attachments::Detached& result);
  void close();
  bool finished() const;
  void announce() const;

  const DaemonOptions options_;
  Instance instance_;
  std::unique_ptr<ShardPool> pool_;
  HostIdentitySource identities_;
  SystemFrontends frontends_;
  Attachments attachments_;
  StateKeeper keeper_;
  Recovery recovery_;
  DaemonMethods methods_;
  ControlServer server_;
  std::unique_ptr<SignalWatch> signals_;
  std::unique_ptr<Hotplug> hotplug_;
  std::optional<SystemRoot> system_root_;
  Phase phase_ = Phase::kRunning;
  bool detaching_ = false;
  bool forced_ = false;  ///< devices in use were taken away
  bool leaves_ = false;  ///< devices that can stay, do
  bool quiet_ = false;   ///< nothing is left with any controller
  Instant give_up_ = kNever;
  std::string waits_for_;  ///< what the end was last said to wait for
  Timer retry_;
};

}  // namespace nvublk::service
