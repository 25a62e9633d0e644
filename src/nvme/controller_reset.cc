// Controller::Impl, what an application asks of a controller: to carry out a command of its own, to
// reset it, to give it up.

#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/controller_impl.h"
#include "nvme/io_passthrough_run.h"

namespace nvublk::nvme {

// The queue pairs stay until all of these have ended: all_closed() waits for them.
int Controller::Impl::submit_io(IoPassthrough command) {
  CHECK_ON(*shards_.control);
  if (state_ != ControllerState::kLive || io_.empty()) {
    return -ENXIO;
  }
  passthroughs_++;
  command.done = [this, done = std::move(command.done)](spec::NvmeStatus status,
                                                        const spec::CompletionEntry& entry) {
    passthroughs_--;
    check_all_closed();
    if (done) {
      done(status, entry);
    }
  };
  QueuePair& queue = io_[next_passthrough_++ % io_.size()].queue->queue_pair();
  IoPassthroughRun::start(queue, *shards_.control, std::move(command));
  return 0;
}

void Controller::Impl::reset(Done done) {
  CHECK_ON(*shards_.control);
  const bool failed_for_good = state_ == ControllerState::kFailed && !options_.application_queues;
  if ((state_ != ControllerState::kLive && state_ != ControllerState::kFailed) || failed_for_good) {
    finish(done, nvublk::fail(ErrorCode::kBusy,
                              std::string("a controller that is ") + controller_state_name(state_) +
                                  " cannot be reset" +
                                  (failed_for_good ? "; detach it, and attach again" : "")));
    return;
  }
  CHECK(!reset_done_);
  reset_done_ = std::move(done);
  last_error_ = Error::make(ErrorCode::kCancelled, "the controller is reset");
  end_rescans(nvublk::fail(ErrorCode::kCancelled, "the controller is reset"));
  begin_recovery(ControllerState::kResetting);
}

void Controller::Impl::abandon(const Error& reason) {
  CHECK_ON(*shards_.control);
  if (state_ == ControllerState::kFailed || state_ == ControllerState::kDeleting) {
    return;
  }
  log_warning("nvme", options_.name + ": failed: " + reason.text);
  last_error_ = reason;
  abandoned_ = !options_.application_queues;
  cancel_recovery();
  set_state(ControllerState::kFailed);
  for (IoSlot& slot : io_) {
    slot.queue->fail_all(EIO);
  }
  finish_connect(std::unexpected(reason));
  finish(reset_done_, std::unexpected(reason));
  end_rescans(std::unexpected(reason));
  close_all(reason);
}

}  // namespace nvublk::nvme
