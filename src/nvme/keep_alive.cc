#include "nvme/keep_alive.h"

#include <string>

#include "nvme/command.h"

namespace nvublk::nvme {

KeepAlive::KeepAlive(QueuePair& admin_queue, Answered answered, const void* context)
    : admin_queue_(admin_queue),
      answered_(answered),
      answered_context_(context),
      timer_([](Timer&, void* self) { static_cast<KeepAlive*>(self)->on_timer(); }, this) {}

void KeepAlive::start(milliseconds timeout, Duration patience) {
  patience_ = patience;
  if (timer_.armed() && timeout_ == timeout) {
    return;
  }
  stop();
  timeout_ = timeout;
  if (timeout_.count() > 0) {
    admin_queue_.shard().reactor().arm_after(timer_, timeout_ / 2);
  }
}

void KeepAlive::stop() {
  admin_queue_.shard().reactor().cancel(timer_);
}

void KeepAlive::on_timer() {
  admin_queue_.shard().reactor().arm_after(timer_, timeout_ / 2);
  if (outstanding_) {
    if (patience_ <= timeout_ && answered_(answered_context_) == answered_before_) {
      admin_queue_.disconnect(
          Error::make(ErrorCode::kTimeout,
                      "the target has said nothing for half of the keep alive timeout of " +
                          std::to_string(timeout_.count()) + " ms"));
    }
    return;
  }
  Request* request = admin_queue_.acquire();
  if (request == nullptr) {
    return;  // the queue is full of commands: their answers will tell as well
  }
  outstanding_ = true;
  answered_before_ = answered_(answered_context_);
  request->sqe = command::keep_alive();
  request->set_no_data();
  request->context = this;
  request->done = [](void* self, spec::NvmeStatus, const spec::CompletionEntry&) {
    static_cast<KeepAlive*>(self)->outstanding_ = false;
  };
  admin_queue_.submit(*request, patience_);
}

}  // namespace nvublk::nvme
