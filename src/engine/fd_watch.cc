#include "engine/fd_watch.h"

#include <utility>

#include <poll.h>

#include "engine/check.h"

namespace nvublk {

void FdWatch::start(int fd) {
  CHECK(poll_ == nullptr);
  fd_ = fd;
  poll_ = new PollOp;
  poll_->watch = this;
  poll_->complete = &FdWatch::on_readable;
  wait();
}

void FdWatch::wait() {
  io_uring_sqe* sqe = reactor_.ring().prepare(*poll_);
  io_uring_prep_poll_add(sqe, fd_, POLLIN);
  io_uring_sqe_set_data(sqe, static_cast<RingOp*>(poll_));
  poll_->waiting = true;
}

void FdWatch::on_readable(RingOp& op, std::int32_t, std::uint32_t) {
  auto& poll = static_cast<PollOp&>(op);
  poll.waiting = false;
  if (poll.watch == nullptr) {
    delete &poll;
    return;
  }
  FdWatch& self = *poll.watch;
  // The callee may end the watch, or its owner: a watch that was ended has let go of `poll`.
  poll.waiting = true;
  self.ready_(self.context_);
  if (poll.watch == nullptr) {
    delete &poll;
    return;
  }
  self.wait();
}

void FdWatch::stop() {
  PollOp* poll = std::exchange(poll_, nullptr);
  if (poll == nullptr) {
    return;
  }
  poll->watch = nullptr;
  if (!poll->waiting) {
    delete poll;
    return;
  }
  struct CancelOp : RingOp {};
  auto* cancel = new CancelOp;
  cancel->complete = [](RingOp& op, std::int32_t, std::uint32_t) {
    delete static_cast<CancelOp*>(&op);
  };
  io_uring_sqe* sqe = reactor_.ring().prepare(*cancel);
  io_uring_prep_cancel64(sqe, reinterpret_cast<std::uintptr_t>(static_cast<RingOp*>(poll)), 0);
  io_uring_sqe_set_data(sqe, static_cast<RingOp*>(cancel));
}

}  // namespace nvublk
