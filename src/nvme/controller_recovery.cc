// The second half of Controller::Impl: losing the connection, getting it back, and the end.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/ana_log.h"
#include "nvme/controller_impl.h"
#include "nvme/spec/text.h"

namespace nvublk::nvme {

namespace {

// The first attempt after a loss does not wait for the whole reconnect delay: most losses are
// short.
constexpr Duration kFirstReconnect = milliseconds(500);

}  // namespace

void Controller::Impl::connection_lost(const Error& reason) {
  const bool was_live = state_ == ControllerState::kLive;
  last_error_ = reason;
  if (was_live && options_.application_queues && options_.ctrl_loss_timeout.count() == 0) {
    // The application decides what comes next: a reset, or a detach.
    log_warning("nvme", options_.name + ": connection lost: " + reason.text);
    set_state(ControllerState::kFailed);
  } else if (was_live) {
    log_warning("nvme", options_.name + ": connection lost: " + reason.text);
    lost_since_ = Clock::now();
    reconnect_attempts_ = 0;
    set_state(ControllerState::kReconnecting);
    if (options_.ctrl_loss_timeout.count() > 0) {
      reactor_.arm(loss_timer_, lost_since_ + options_.ctrl_loss_timeout);
    }
    if (options_.fast_io_fail_timeout.count() >= 0) {
      reactor_.arm(fast_fail_timer_, lost_since_ + options_.fast_io_fail_timeout);
    }
  }
  if (shutdown_runner_ && shutdown_runner_->running()) {
    shutdown_runner_->disconnected(reason);
    return;
  }
  if (init_runner_ && init_runner_->running()) {
    Error error = reason;
    if (error.code == ErrorCode::kDisconnected && init_->step() > 0) {
      error.text = "the connection was lost: " + error.text;
    }
    init_runner_->disconnected(std::move(error));
    return;
  }
  close_all(reason);
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
      schedule_reconnect();
      return;
    case ControllerState::kDeleting:
      finish_disconnect();
      return;
    case ControllerState::kResetting:
      if (std::exchange(restart_, false)) {
        restart();
      } else {
        reset_failed();
      }
      return;
    case ControllerState::kNew:
    case ControllerState::kLive:
    case ControllerState::kFailed:
      return;
  }
}

void Controller::Impl::schedule_reconnect() {
  if (abandoned_ || options_.ctrl_loss_timeout.count() == 0) {
    give_up(*last_error_);
    return;
  }
  const Duration delay = reconnect_attempts_ == 0
                             ? std::min<Duration>(kFirstReconnect, options_.reconnect_delay)
                             : Duration(options_.reconnect_delay);
  if (reconnect_attempts_ > 0) {
    log_warning("nvme", options_.name + ": reconnect attempt " +
                            std::to_string(reconnect_attempts_) + " failed: " + last_error_->text);
  }
  reactor_.arm_after(reconnect_timer_, delay);
}

void Controller::Impl::reconnect_now() {
  CHECK_ON(*shards_.control);
  if (reconnect_timer_.armed()) {
    reactor_.arm(reconnect_timer_, Clock::now());
  }
}

void Controller::Impl::give_up(const Error& reason) {
  if (state_ != ControllerState::kReconnecting) {
    return;
  }
  log_error("nvme", options_.name + ": given up: " + reason.text);
  last_error_ = reason;
  reactor_.cancel(reconnect_timer_);
  reactor_.cancel(loss_timer_);
  reactor_.cancel(fast_fail_timer_);
  set_state(ControllerState::kFailed);
  for (IoSlot& slot : io_) {
    slot.queue->fail_all(EIO);
  }
  if (!all_closed()) {
    close_all(reason);
  }
}

void Controller::Impl::fail_io(int error_number) {
  CHECK_ON(*shards_.control);
  abandoned_ = true;
  for (IoSlot& slot : io_) {
    slot.queue->fail_all(error_number);
  }
  if (state_ == ControllerState::kLive) {
    connection_lost(Error::make(ErrorCode::kCancelled, "the device is taken away by force"));
  } else if (state_ == ControllerState::kReconnecting) {
    give_up(last_error_.value_or(Error::make(ErrorCode::kCancelled, "taken away by force")));
  }
}

void Controller::Impl::disconnect(Done done) {
  CHECK_ON(*shards_.control);
  CHECK(!disconnect_done_);
  disconnect_done_ = std::move(done);
  const bool was_live = state_ == ControllerState::kLive;
  reactor_.cancel(reconnect_timer_);
  reactor_.cancel(loss_timer_);
  reactor_.cancel(fast_fail_timer_);
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
  shutdown_runner_->start();
}

void Controller::Impl::ended(ControllerShutdown& machine) {
  if (machine.failed()) {
    log_warning("nvme", options_.name + ": shutdown was not orderly: " + machine.error().text +
                            " (" + machine.error().step + ")");
  }
  close_all(Error::make(ErrorCode::kCancelled, "detached"));
}

void Controller::Impl::finish_disconnect() {
  finish(disconnect_done_, {});
}

void Controller::Impl::fill_step(ControllerStatus& status) const {
  const Instant now = Clock::now();
  StepView step;
  if (reconnect_timer_.armed()) {
    step = {"wait to reconnect", "", lost_since_, reconnect_timer_.deadline()};
  } else if (shutdown_ && shutdown_->running()) {
    step = {shutdown_->step_name(), shutdown_->step_spec(), shutdown_->step_since(),
            shutdown_->step_deadline()};
  } else if (init_ && init_->running()) {
    step = {init_->step_name(), init_->step_spec(), init_->step_since(), init_->step_deadline()};
  } else {
    return;
  }
  status.step = step.name;
  if (const StepView inner = admin_queue_.connect_step();
      *inner.name != '\0' && init_ && init_->running() && init_->step() == 0) {
    step = inner;
    status.step += ": ";
    status.step += inner.name;
  }
  status.step_spec = step.spec;
  status.step_since_ms = milliseconds_between(step.since, now);
  if (step.deadline != kNever) {
    status.step_deadline_ms = milliseconds_between(now, step.deadline);
  }
}

ControllerStatus Controller::Impl::status() const {
  ControllerStatus status;
  status.name = options_.name;
  status.state = state_;
  fill_step(status);
  status.last_error = last_error_;
  status.reconnect_attempts = reconnect_attempts_;
  status.options = used_;
  status.cntlid = profile_.cntlid;
  status.model = spec::printable_text(profile_.identify.mn);
  status.serial = spec::printable_text(profile_.identify.sn);
  status.firmware = spec::printable_text(profile_.identify.fr);
  if (profile_.vs.raw != 0) {
    status.version = std::to_string(profile_.vs.major_version()) + "." +
                     std::to_string(profile_.vs.minor_version());
  }
  status.keep_alive_ms = profile_.keep_alive_ms;
  status.sq_flow_control_disabled = sq_flow_control_disabled_;
  QueueStatus admin = admin_queue_.status();
  admin.failure = admin_failure_;
  status.queues.push_back(std::move(admin));
  for (const IoSlot& slot : io_) {
    QueueStatus queue = slot.queue->queue_pair().status();
    queue.shard = static_cast<int>(slot.queue->queue_pair().shard().id());
    queue.failure = slot.failure;
    status.queues.push_back(std::move(queue));
  }
  for (const std::unique_ptr<Namespace>& each : namespaces_) {
    NamespaceStatus entry;
    entry.nsid = each->nsid();
    entry.size_blocks = each->geometry().size_blocks;
    entry.block_size_bytes = each->geometry().block_size_bytes;
    entry.uuid = each->identity().uuid;
    entry.nguid = each->identity().nguid;
    entry.eui64 = each->identity().eui64;
    entry.state = each->unusable().empty() ? "live" : "unusable: " + each->unusable();
    entry.ana_state = ana_state_name(each->ana_state());
    status.namespaces.push_back(std::move(entry));
  }
  return status;
}

}  // namespace nvublk::nvme
