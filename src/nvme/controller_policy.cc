// Controller::Impl, its policy: changed while it lives, and carried out where commands get no
// answer.

#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/command.h"
#include "nvme/controller_impl.h"
#include "nvme/status_text.h"

namespace nvublk::nvme {

void Controller::Impl::set_policy(const ControllerOptions& policy, Done done) {
  CHECK_ON(*shards_.control);
  if (Status status = check_policy(policy); !status) {
    finish(done, std::move(status));
    return;
  }
  for (ControllerOptions* each : {&options_, &used_}) {
    const milliseconds keep_alive = each->keep_alive;  // until the controller has been told
    copy_policy(policy, *each);
    each->keep_alive = keep_alive;
  }
  for (IoSlot& slot : io_) {
    slot.queue->set_timeouts(command_timeouts(options_));
  }
  if (recovering()) {
    recovery_->set_reconnect_delay(options_.reconnect_delay);
    const Instant latest = reactor_.clock() + options_.reconnect_delay;
    if (recovery_->step() == Recovery::kPause && wait_timer_.armed() &&
        wait_timer_.deadline() > latest) {
      reactor_.arm(wait_timer_, latest);
    }
  }
  if (state_ == ControllerState::kReconnecting) {
    if (std::exchange(fast_failed_, false)) {
      for (IoSlot& slot : io_) {
        slot.queue->fail_waiting(0);
      }
    }
    arm_loss_timers();
  }
  set_keep_alive(policy.keep_alive, std::move(done));
}

// A live controller is told; others are when they connect. [Base 2.1 §5.1.25.1.15]
void Controller::Impl::set_keep_alive(milliseconds wanted, Done done) {
  const bool changes = wanted != options_.keep_alive;
  if (!changes || state_ != ControllerState::kLive || !transport_->limits().fabrics ||
      profile_.identify.kas.get() == 0) {
    options_.keep_alive = wanted;
    finish(done, {});
    return;
  }
  AdminCommand command;
  command.sqe = command::set_features(spec::FeatureId::kKeepAliveTimer,
                                      static_cast<std::uint32_t>(wanted.count()));
  command.timeout = options_.admin_timeout;
  command.done = [this, wanted, done](spec::NvmeStatus status, const spec::CompletionEntry&) {
    Done answer = done;
    if (!status.ok()) {
      finish(answer, nvublk::fail(ErrorCode::kNvmeStatus,
                                  "the controller does not take the keep alive timeout: " +
                                      status_text(status) + "; the other settings are in force"));
      return;
    }
    options_.keep_alive = wanted;
    used_.keep_alive = wanted;
    profile_.keep_alive_ms = static_cast<std::uint32_t>(wanted.count());
    keep_alive_.start(wanted, wanted);
    finish(answer, {});
  };
  if (admin_.submit(std::move(command)) != 0) {
    finish(done, nvublk::fail(ErrorCode::kDisconnected, "the connection is lost"));
  }
}

// One that cannot be sent, or is not answered either, does not matter: the queue pair closes in the
// end. What was aborted is tried again by the queue pair. [Base 2.1 §5.1.1]
void Controller::Impl::io_command_timed_out(std::uint16_t qid, std::uint16_t cid) {
  if (state_ != ControllerState::kLive) {
    return;
  }
  const int sent = admin_.abort(
      qid, cid, [this, qid](spec::NvmeStatus status, const spec::CompletionEntry& entry) {
        const bool aborted = status.ok() && (entry.dw0.get() & 1) == 0;
        log_info("nvme", options_.name + ": a command on queue " + std::to_string(qid) +
                             (aborted ? " was aborted" : " could not be aborted"));
      });
  if (sent != 0) {
    log_warning("nvme", options_.name + ": Abort cannot be sent");
  }
}

}  // namespace nvublk::nvme
