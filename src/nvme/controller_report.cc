// Controller::Impl, what it tells of itself at any moment.

#include <utility>

#include "nvme/ana_log.h"
#include "nvme/controller_impl.h"
#include "nvme/spec/text.h"

namespace nvublk::nvme {

namespace {

template <typename Machine>
StepView view_of(const Machine& machine) {
  return {machine.step_name(), machine.step_spec(), machine.step_since(), machine.step_deadline()};
}

}  // namespace

// The innermost of the sequences that run; `name` gets the names of all of them.
StepView Controller::Impl::running_step(std::string& name) const {
  StepView step;
  const auto go_into = [&](const StepView& inner) {
    step = inner;
    name += (name.empty() ? "" : ": ") + std::string(inner.name);
  };
  if (shutdown_ && shutdown_->running()) {
    go_into(view_of(*shutdown_));
    return step;
  }
  if (recovering()) {
    go_into(view_of(*recovery_));
    if (wait_timer_.armed()) {
      step.deadline = wait_timer_.deadline();
    }
    if (recovery_->step() != Recovery::kConnect) {
      return step;
    }
  }
  if (init_ && init_->running()) {
    go_into(view_of(*init_));
    if (const StepView inner = admin_queue_.connect_step();
        *inner.name != '\0' && init_->step() == 0) {
      go_into(inner);
    }
    if (authentication_.running()) {
      go_into(authentication_.step());
    }
  }
  return step;
}

void Controller::Impl::fill_step(ControllerStatus& status) const {
  const StepView step = running_step(status.step);
  if (status.step.empty()) {
    return;
  }
  const Instant now = reactor_.clock();
  status.step_spec = step.spec;
  status.step_since_ms = milliseconds_between(step.since, now);
  if (step.deadline != kNever) {
    status.step_deadline_ms = milliseconds_between(now, step.deadline);
  }
}

void Controller::Impl::fill_recovery(ControllerStatus& status) const {
  if (!recovering()) {
    return;
  }
  const Instant now = reactor_.clock();
  const auto until = [now](const Timer& timer) -> std::optional<std::uint64_t> {
    return timer.armed() ? std::optional(milliseconds_between(now, timer.deadline()))
                         : std::nullopt;
  };
  RecoveryStatus& recovery = status.recovery.emplace();
  recovery.step = recovery_->step_name();
  recovery.since_ms = milliseconds_between(lost_since_, now);
  recovery.attempts = recovery_->attempts();
  if (recovery_->step() == Recovery::kPause) {
    recovery.next_attempt_ms = until(wait_timer_);
  }
  recovery.gives_up_ms = until(loss_timer_);
  recovery.io_fails_ms = until(fast_fail_timer_);
  recovery.io_fails = fast_failed_;
  if (last_error_) {
    recovery.reason = last_error_->text;
  }
}

std::uint64_t Controller::Impl::answered_commands() const {
  std::uint64_t count = admin_queue_.status().completed;
  for (const IoSlot& slot : io_) {
    count += slot.queue->queue_pair().status().completed;
  }
  return count;
}

ControllerStatus Controller::Impl::status() const {
  ControllerStatus status;
  status.name = options_.name;
  status.state = state_;
  fill_step(status);
  fill_recovery(status);
  status.last_error = last_error_;
  status.reconnect_attempts = recovery_ ? recovery_->attempts() : 0;
  status.options = used_;
  status.options.dhchap_key = {};
  status.options.dhchap_ctrlr_key = {};
  status.options.tls_key = {};
  if (!options_.tls_key.empty() && profile_.vs.raw != 0) {
    // The only one that was offered.
    status.tls_cipher = tls_cipher_name(options_.tls_key.cipher_hash());
  }
  if (authenticated_) {
    status.authentication = {std::string(dhchap_hash_name(authenticated_->hash)),
                             std::string(dhchap_group_name(authenticated_->group)),
                             authenticated_->bidirectional};
  }
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
