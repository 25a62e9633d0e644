#include "service/daemon.h"

#include <csignal>
#include <utility>

#include <unistd.h>

#include "service/process_setup.h"
#include "service/service_manager.h"
#include "service/version.h"

namespace nvublk::service {

namespace {

constexpr char kSubsystem[] = "daemon";
/// How often the end looks whether a device that was in use is free now.
constexpr milliseconds kRetryInterval{500};

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
      methods_(pool_->set(), attachments_, facts_of(pool_->set()),
               [this](bool force) { begin_stop(force); }),
      server_(pool_->control().reactor(), instance_.take_listener(), methods_),
      retry_([](Timer&, void* context) { static_cast<Daemon*>(context)->stop_attachments(); },
             this) {
  methods_.set_server(server_);
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
  return phase_ == Phase::kClosing && server_.closed() && frontends_.idle() && methods_.idle() &&
         (signals_ == nullptr || signals_->stopped());
}

void Daemon::signal_received(int signal) {
  if (signal == SIGHUP) {
    return;  // the terminal of whoever started us is gone; devices stay
  }
  log_info(kSubsystem, std::string("received ") + (signal == SIGINT ? "SIGINT" : "SIGTERM"));
  begin_stop(phase_ != Phase::kRunning);
}

void Daemon::begin_stop(bool force) {
  if (phase_ == Phase::kRunning) {
    phase_ = Phase::kStopping;
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
  if (detaching_ || phase_ == Phase::kClosing) {
    return;
  }
  if (attachments_.list().empty()) {
    close();
    return;
  }
  detaching_ = true;
  attachments_.detach_all(phase_ == Phase::kForcing, [this](const Attachments::Detached& result) {
    attachments_stopped(result);
  });
}

void Daemon::attachments_stopped(const Attachments::Detached& result) {
  detaching_ = false;
  if (!result.status && !attachments_.list().empty()) {
    if (phase_ == Phase::kStopping && Clock::now() >= give_up_) {
      log_error(kSubsystem, "taken away by force: " + result.status.error().text);
      phase_ = Phase::kForcing;
    } else {
      log_warning(kSubsystem, "waiting to end: " + result.status.error().text);
    }
  }
  forced_ = forced_ || phase_ == Phase::kForcing;
  pool_->control().reactor().arm_after(
      retry_, attachments_.list().empty() ? milliseconds(0) : kRetryInterval);
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
