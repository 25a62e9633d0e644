// The second half of Controller::Impl: losing the connection, getting it back, and the end.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/controller_impl.h"

namespace nvublk::nvme {

void Controller::Impl::connection_lost(const Error& reason) {
  last_error_ = reason;
  if (shutdown_runner_ && shutdown_runner_->running()) {
    shutdown_runner_->disconnected(reason);
    return;
  }
  if (state_ == ControllerState::kLive) {
    log_warning("nvme", options_.name + ": connection lost: " + reason.text);
    if (!abandoned_ && options_.ctrl_loss_timeout.count() != 0) {
      begin_recovery(ControllerState::kReconnecting);
      return;
    }
    // Nothing more is tried. Applications decide themselves: a reset, or a detach.
    set_state(ControllerState::kFailed);
    fail_all_io();
    close_all(reason);
    return;
  }
  if (init_runner_ && init_runner_->running()) {
    Error error = reason;
    if (error.code == ErrorCode::kDisconnected && init_->step() > 0) {
      error.text = "the connection was lost: " + error.text;
      // Some targets close it before their refusal has arrived.
      if (init_->step() == ControllerInit::kAuthenticateStep) {
        error.text += "; it may not accept the key of this host (--dhchap-secret)";
      }
    }
    init_runner_->disconnected(std::move(error));
    return;
  }
  if (recovering()) {
    attempt_failed(reason);  // connected, but not live yet
    return;
  }
  close_all(reason);
}

void Controller::Impl::begin_recovery(ControllerState state) {
  lost_since_ = reactor_.clock();
  old_keep_alive_ = milliseconds(profile_.keep_alive_ms);
  fast_failed_ = false;
  const auto seed = static_cast<std::uint64_t>(lost_since_.time_since_epoch().count()) ^
                    std::hash<std::string>()(options_.host.nqn + options_.name);
  recovery_ = std::make_unique<Recovery>(options_.reconnect_delay,
                                         state == ControllerState::kResetting, seed);
  recovery_runner_ = std::make_unique<RecoveryRunner>(reactor_, *recovery_, *this);
  set_state(state);
  if (state == ControllerState::kReconnecting) {
    arm_loss_timers();
  }
  recovery_runner_->start();
  if (abandoned_) {  // by who was told of the new state
    give_up(last_error_.value_or(Error::make(ErrorCode::kCancelled, "taken away by force")));
  }
}

void Controller::Impl::perform(Recovery&, const RecoveryAction& action) {
  reactor_.cancel(wait_timer_);
  switch (action.kind) {
    case RecoveryAction::Kind::kStopQueues:
      close_all(last_error_.value_or(Error::make(ErrorCode::kCancelled, "reset")));
      check_all_closed();
      if (fast_failed_) {
        fail_io_fast();
      }
      return;
    case RecoveryAction::Kind::kWait:
      reactor_.arm(wait_timer_, action.until);
      return;
    case RecoveryAction::Kind::kConnect:
      start_init();
      return;
    case RecoveryAction::Kind::kResume:
      resume_io();
      return;
  }
}

void Controller::Impl::recovery_step_done() {
  if (recovering() && recovery_runner_->waiting()) {
    recovery_runner_->finish(RecoveryOutcome{reactor_.clock(), {}, old_commands_end()});
  }
}

// Until when the target may still carry out what the old connection left: it has to notice the
// loss, within two keep alive timeouts of it (three if any command counts as one), and then needs
// its Command Quiesce Time. One that does not report that time is taken to need none. Over PCIe,
// CC.EN ends everything. [Base 2.1 §9.6.2]
Instant Controller::Impl::old_commands_end() const {
  const spec::IdentifyController& identify = profile_.identify;
  if (cut_off_at_ == Instant{} || identify.cqt.get() == 0 || !transport_->limits().fabrics) {
    return {};
  }
  const int timeouts = identify.traffic_based_keep_alive() ? 3 : 2;
  return cut_off_at_ + timeouts * old_keep_alive_ + milliseconds(identify.cqt.get());
}

void Controller::Impl::attempt_failed(const Error& error) {
  last_error_ = error;
  if (state_ == ControllerState::kResetting) {
    log_warning("nvme", options_.name + ": reset failed: " + error.text);
    finish(reset_done_, std::unexpected(error));
    // Applications decide themselves what comes next; devices wait as for any lost connection.
    if (options_.ctrl_loss_timeout.count() == 0 || abandoned_) {
      recovery_runner_->disconnected(error);
      return;
    }
    lost_since_ = reactor_.clock();
    set_state(ControllerState::kReconnecting);
    arm_loss_timers();
  } else {
    log_warning("nvme", options_.name + ": reconnect attempt " +
                            std::to_string(recovery_->attempts()) + " failed: " + error.text);
  }
  recovery_runner_->finish(RecoveryOutcome{reactor_.clock(), error, {}});
}

// Each queue sends first what it has held, then what came later.
void Controller::Impl::resume_io() {
  for (IoSlot& slot : io_) {
    slot.queue->fail_waiting(0);
    slot.queue->release();
  }
  reactor_.defer(released_);
}

void Controller::Impl::io_queue_released(std::uint16_t qid) {
  io_[qid - 1u].released = io_[qid - 1u].open;
  check_released();
}

void Controller::Impl::check_released() {
  if (recovering() && recovery_->step() == Recovery::kResume &&
      std::ranges::all_of(io_, [](const IoSlot& slot) { return slot.released; })) {
    recovery_step_done();
  }
}

void Controller::Impl::ended(Recovery& machine) {
  if (machine.done()) {
    enter_live();
    return;
  }
  const Error& reason = machine.error();
  log_error("nvme", options_.name + ": given up: " + reason.text);
  last_error_ = reason;
  cancel_recovery();
  set_state(ControllerState::kFailed);
  fail_all_io();
  finish(reset_done_, std::unexpected(reason));
  if (!all_closed()) {
    close_all(reason);
  }
}

// What fail_io() was called with stays.
void Controller::Impl::fail_all_io() {
  for (IoSlot& slot : io_) {
    if (!abandoned_) {
      slot.queue->fail_all(EIO);
    }
  }
}

void Controller::Impl::arm_loss_timers() {
  reactor_.cancel(loss_timer_);
  reactor_.cancel(fast_fail_timer_);
  if (options_.ctrl_loss_timeout.count() >= 0) {
    reactor_.arm(loss_timer_, lost_since_ + options_.ctrl_loss_timeout);
  }
  if (options_.fast_io_fail_timeout.count() >= 0) {
    reactor_.arm(fast_fail_timer_, lost_since_ + options_.fast_io_fail_timeout);
  }
}

void Controller::Impl::fail_io_fast() {
  fast_failed_ = true;
  for (IoSlot& slot : io_) {
    slot.queue->fail_waiting(EIO);
  }
}

void Controller::Impl::cancel_recovery() {
  if (recovery_runner_) {
    recovery_runner_->cancel();
  }
  reactor_.cancel(wait_timer_);
  reactor_.cancel(loss_timer_);
  reactor_.cancel(fast_fail_timer_);
}

void Controller::Impl::give_up(const Error& reason) {
  if (recovering()) {
    recovery_runner_->disconnected(reason);
  }
}

// Begins to close every queue; on_all_closed() says what comes after.
void Controller::Impl::close_all(const Error& reason) {
  if (closing_) {
    return;
  }
  closing_ = true;
  cancel_sequences();
  keep_alive_.stop();
  async_events_.stop();
  if (admin_open_) {
    admin_queue_.disconnect(reason);
  }
  for (IoSlot& slot : io_) {
    if (slot.open) {
      slot.queue->stop(reason);
    }
  }
  check_all_closed();
}

void Controller::Impl::cancel_sequences() {
  if (init_runner_) {
    init_runner_->cancel();
  }
  if (shutdown_runner_) {
    shutdown_runner_->cancel();
  }
  stop_authentication(Error::make(ErrorCode::kDisconnected, "the connection is closed"));
}

bool Controller::Impl::all_closed() const {
  return !admin_open_ && passthroughs_ == 0 &&
         std::ranges::none_of(io_, [](const IoSlot& slot) { return slot.open; });
}

void Controller::Impl::check_all_closed() {
  if (closing_ && all_closed()) {
    reactor_.defer(closed_);
    return;
  }
  const bool io_closed = std::ranges::none_of(io_, [](const IoSlot& slot) { return slot.open; });
  if (!closing_ && io_closed && shutdown_runner_ && shutdown_runner_->waiting() &&
      shutdown_->step() == 0) {
    shards_.control->post([this] { report(ControlOutcome{}); });
  }
}

void Controller::Impl::on_all_closed() {
  switch (state_) {
    case ControllerState::kConnecting:
      set_state(ControllerState::kFailed);
      finish_connect(std::unexpected(*last_error_));
      return;
    case ControllerState::kReconnecting:
    case ControllerState::kResetting:
      if (recovery_->step() == Recovery::kStop) {
        recovery_step_done();
      }
      return;
    case ControllerState::kDeleting:
      finish_disconnect();
      return;
    case ControllerState::kNew:
    case ControllerState::kLive:
    case ControllerState::kFailed:
      return;
  }
}

void Controller::Impl::reconnect_now() {
  CHECK_ON(*shards_.control);
  if (wait_timer_.armed() && recovering() && recovery_->step() == Recovery::kPause) {
    reactor_.arm(wait_timer_, reactor_.clock());
  }
}

void Controller::Impl::fail_io(int error_number) {
  CHECK_ON(*shards_.control);
  abandoned_ = true;
  for (IoSlot& slot : io_) {
    slot.queue->fail_all(error_number);
  }
  const Error forced = Error::make(ErrorCode::kCancelled, "the device is taken away by force");
  if (state_ == ControllerState::kLive) {
    connection_lost(forced);
  } else {
    give_up(last_error_.value_or(forced));
  }
}

void Controller::Impl::disconnect(Done done, Duration limit) {
  CHECK_ON(*shards_.control);
  CHECK(!disconnect_done_);
  disconnect_done_ = std::move(done);
  const bool was_live = state_ == ControllerState::kLive;
  transport_->no_more_connections();
  cancel_recovery();
  const Status detached =
      nvublk::fail(ErrorCode::kCancelled, "detached before the connection was complete");
  finish_connect(detached);
  finish(reset_done_, detached);
  end_rescans(detached);
  set_state(ControllerState::kDeleting);
  for (IoSlot& slot : io_) {
    slot.queue->fail_all(EIO);
  }
  if (!was_live) {
    close_all(Error::make(ErrorCode::kCancelled, "detached"));
    check_all_closed();
    return;
  }
  keep_alive_.stop();
  async_events_.stop();
  if (init_runner_) {
    init_runner_->cancel();
  }
  if (!options_.shutdown_notification) {
    close_all(Error::make(ErrorCode::kCancelled, "detached"));
    return;
  }
  shutdown_ = std::make_unique<ControllerShutdown>(
      options_.admin_timeout, profile_.identify.rtd3e.get(), options_.shutdown_timeout,
      !profile_.quirks.has(Quirk::kNoShutdownStatus));
  shutdown_runner_ = std::make_unique<ShutdownRunner>(reactor_, *shutdown_, *this);
  reactor_.arm(shutdown_timer_, instant_after(reactor_.clock(), limit));
  shutdown_runner_->start();
}

void Controller::Impl::limit_disconnect(Duration limit) {
  CHECK_ON(*shards_.control);
  const Instant latest = instant_after(reactor_.clock(), limit);
  if (shutdown_timer_.armed() && shutdown_timer_.deadline() > latest) {
    reactor_.arm(shutdown_timer_, latest);
  }
}

void Controller::Impl::ended(ControllerShutdown& machine) {
  reactor_.cancel(shutdown_timer_);
  if (machine.failed()) {
    log_warning("nvme", options_.name + ": shutdown was not orderly: " + machine.error().text +
                            " (" + machine.error().step + ")");
  }
  close_all(Error::make(ErrorCode::kCancelled, "detached"));
}

void Controller::Impl::finish_disconnect() {
  finish(disconnect_done_, {});
}

}  // namespace nvublk::nvme
