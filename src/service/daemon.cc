#include "service/daemon.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include <unistd.h>

#include "service/process_setup.h"
#include "service/rpc_client.h"
#include "service/service_manager.h"
#include "service/version.h"

namespace nvublk::service {

namespace {

constexpr char kSubsystem[] = "daemon";
/// How often the end looks whether a device that was in use is free now.
constexpr milliseconds kRetryInterval{500};
/// How long another daemon has to say that it hands over, and to do it, apart from its devices that
/// cannot stay.
constexpr milliseconds kAnswerLimit{10000};
constexpr seconds kHandOverLimit{60};

void tell_starter(int fd, const std::string& text) {
  if (fd >= 0) {
    [[maybe_unused]] const ssize_t written = ::write(fd, text.data(), text.size());
    ::close(fd);
  }
}

int report_failure(const DaemonOptions& options, const Error& error) {
  log_error(kSubsystem, error.text);
  tell_starter(options.ready_fd, error.text + "\n");
  return 1;
}

/// Has the daemon that serves the socket leave its devices and end.
Status take_over_from(const DaemonOptions& options) {
  auto client = RpcClient::connect(options.socket_path);
  if (!client) {
    return client.error().code == ErrorCode::kNotFound
               ? Status{}
               : Status(std::unexpected(std::move(client.error())));
  }
  if (auto begun = client->call("hand-over", Json::object(), kAnswerLimit); !begun) {
    Error error = std::move(begun.error());
    error.text = "the daemon that runs cannot hand over: " + error.text;
    return std::unexpected(std::move(error));
  }
  return Instance::await_end(options.socket_path, kHandOverLimit + options.stop_timeout);
}

DaemonFacts facts_of(const ShardSet& shards) {
  DaemonFacts facts;
  facts.version = version();
  facts.pid = ::getpid();
  facts.started = Clock::now();
  facts.shards = shards.io;
  return facts;
}

}  // namespace

int Daemon::run(const DaemonOptions& options) {
  set_log_level(options.log_level);
  const sigset_t signals = block_signals();
  prepare_process();
  if (options.take_over) {
    if (Status handed = take_over_from(options); !handed) {
      return report_failure(options, handed.error());
    }
  }
  auto instance = Instance::claim(options.socket_path, options.run_directory);
  if (!instance) {
    return report_failure(options, instance.error());
  }
  auto pool = ShardPool::start(options.shards);
  if (!pool) {
    return report_failure(options, pool.error());
  }
  Daemon daemon(options, std::move(*instance), std::move(*pool));
  if (Status started = daemon.start(signals); !started) {
    daemon.close();
    daemon.loop();
    return report_failure(options, started.error());
  }
  daemon.announce();
  daemon.loop();
  log_info(kSubsystem, "ended");
  return daemon.forced_ ? 1 : 0;
}

Daemon::Daemon(const DaemonOptions& options, Instance instance, std::unique_ptr<ShardPool> pool)
    : options_(options),
      instance_(std::move(instance)),
      pool_(std::move(pool)),
      identities_(HostIdentityPaths{}),
      frontends_(pool_->set()),
      attachments_(pool_->set(), frontends_, identities_, options.run_directory),
      keeper_(pool_->control(), state_path_of(options.run_directory),
              [this] { return SavedState{quiet_, attachments_.saved()}; }),
      recovery_(pool_->control(), attachments_, options.run_directory),
      methods_({pool_->set(), attachments_, keeper_, recovery_}, facts_of(pool_->set()),
               {[this](bool force) { begin_stop(force); }, [this] { begin_hand_over(); }}),
      server_(pool_->control().reactor(), instance_.take_listener(), methods_),
      retry_([](Timer&, void* context) { static_cast<Daemon*>(context)->stop_attachments(); },
             this) {
  if (options_.follow_root) {
    system_root_.emplace();
  }
  methods_.set_server(server_);
  attachments_.on_change([this] { keeper_.changed(); });
}

Status Daemon::start(const sigset_t& signals) {
  auto watch = SignalWatch::start(pool_->control().reactor(), signals,
                                  [this](int signal) { signal_received(signal); });
  if (!watch) {
    return std::unexpected(std::move(watch.error()));
  }
  signals_ = std::move(*watch);
  if (auto hotplug = Hotplug::start(pool_->control().reactor(), attachments_)) {
    hotplug_ = std::move(*hotplug);
  } else {
    log_warning(kSubsystem, hotplug.error().text);
  }
  recovery_.begin();
  server_.start();
  return {};
}

void Daemon::announce() const {
  log_info(kSubsystem, std::string("nvublkd ") + version() + " (pid " + std::to_string(::getpid()) +
                           ") serves " + options_.socket_path + " with " +
                           std::to_string(pool_->set().io.size()) + " I/O shards, " +
                           idle_mode_name(options_.shards.mode));
  tell_starter(options_.ready_fd, "ready\n");
  notify_service_manager("READY=1");
}

void Daemon::loop() {
  while (!finished()) {
    pool_->control().reactor().turn_or_wait();
  }
}

bool Daemon::finished() const {
  return phase_ == Phase::kClosing && server_.closed() && keeper_.idle() && recovery_.idle() &&
         frontends_.idle() && methods_.idle() && (signals_ == nullptr || signals_->stopped());
}

void Daemon::signal_received(int signal) {
  if (signal == SIGHUP) {
    return;  // the terminal of whoever started us is gone; devices stay
  }
  if (signal == SIGUSR2) {
    log_info(kSubsystem, "received SIGUSR2");
    begin_hand_over();
    return;
  }
  log_info(kSubsystem, std::string("received ") + (signal == SIGINT ? "SIGINT" : "SIGTERM"));
  begin_stop(phase_ != Phase::kRunning);
}

// Devices that can outlive this process stay for the next one; the others end as they always do.
void Daemon::begin_hand_over() {
  if (phase_ != Phase::kRunning) {
    return;
  }
  leaves_ = true;
  begin_stop(false);
}

void Daemon::leave() {
  phase_ = Phase::kLeaving;
  attachments_.leave_all([this](bool quiet) {
    quiet_ = quiet;
    keeper_.changed();
    keeper_.when_saved([this] {
      log_info(kSubsystem, std::string("ended; devices wait for the next daemon") +
                               (quiet_ ? "" : ", and commands were under way"));
      instance_.give_up();
      // What the kernel holds of ours has to end with the process, as if it had died.
      ::_exit(0);
    });
  });
}

void Daemon::begin_stop(bool force) {
  if (phase_ == Phase::kRunning) {
    phase_ = Phase::kStopping;
    if (system_root_) {
      system_root_->enter();
    }
    give_up_ = Clock::now() + options_.stop_timeout;
    methods_.begin_shutdown();
    notify_service_manager("STOPPING=1");
  }
  if (force && phase_ == Phase::kStopping) {
    phase_ = Phase::kForcing;
  }
  stop_attachments();
}

void Daemon::stop_attachments() {
  if (detaching_ || phase_ == Phase::kClosing || phase_ == Phase::kLeaving) {
    return;
  }
  if (!any_to_stop()) {
    if (leaves_ && !attachments_.list().empty()) {
      leave();
    } else {
      close();
    }
    return;
  }
  detaching_ = true;
  attachments_.detach_all(
      phase_ == Phase::kForcing,
      [this](const Attachments::Detached& result) { attachments_stopped(result); }, leaves_);
}

bool Daemon::any_to_stop() const {
  const std::vector<Attachment*> all = attachments_.list();
  return std::ranges::any_of(all, [this](const Attachment* attachment) {
    return !leaves_ || !attachment->outlives_daemon();
  });
}

void Daemon::attachments_stopped(const Attachments::Detached& result) {
  detaching_ = false;
  if (!result.status && any_to_stop()) {
    if (phase_ == Phase::kStopping && Clock::now() >= give_up_) {
      log_error(kSubsystem, "taken away by force: " + result.status.error().text);
      phase_ = Phase::kForcing;
    } else if (waits_for_ != result.status.error().text) {
      waits_for_ = result.status.error().text;
      log_warning(kSubsystem, "waiting to end: " + waits_for_);
    }
  }
  forced_ = forced_ || phase_ == Phase::kForcing;
  pool_->control().reactor().arm_after(retry_, any_to_stop() ? kRetryInterval : milliseconds(0));
}

void Daemon::close() {
  phase_ = Phase::kClosing;
  pool_->control().reactor().cancel(retry_);
  server_.close();
  hotplug_.reset();
  if (signals_ != nullptr) {
    signals_->stop();
  }
}

}  // namespace nvublk::service
