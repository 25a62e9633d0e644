#include "service/signal_watch.h"

#include <cerrno>
#include <utility>

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/check.h"

namespace nvublk::service {

Result<std::unique_ptr<SignalWatch>> SignalWatch::start(Reactor& reactor, const sigset_t& signals,
                                                        Handler handler) {
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) {
    return fail_errno(errno, "cannot watch signals");
  }
  std::unique_ptr<SignalWatch> watch(new SignalWatch(reactor, std::move(fd), std::move(handler)));
  watch->arm();
  return watch;
}

SignalWatch::SignalWatch(Reactor& reactor, UniqueFd fd, Handler handler)
    : reactor_(reactor), fd_(std::move(fd)), handler_(std::move(handler)) {
  poll_.watch = this;
  poll_.complete = [](RingOp& op, std::int32_t, std::uint32_t) {
    Op& own = static_cast<Op&>(op);
    own.busy = false;
    own.watch->deliver();
    own.watch->arm();
  };
  cancel_.watch = this;
  cancel_.complete = [](RingOp& op, std::int32_t, std::uint32_t) {
    static_cast<Op&>(op).busy = false;
  };
}

SignalWatch::~SignalWatch() {
  CHECK(stopped());
}

void SignalWatch::arm() {
  if (stopping_ || poll_.busy) {
    return;
  }
  io_uring_sqe* sqe = reactor_.ring().prepare(poll_);
  io_uring_prep_poll_add(sqe, fd_.get(), POLLIN);
  io_uring_sqe_set_data(sqe, &poll_);
  poll_.busy = true;
}

void SignalWatch::deliver() {
  signalfd_siginfo info{};
  while (!stopping_ &&
         ::read(fd_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    handler_(static_cast<int>(info.ssi_signo));
  }
}

void SignalWatch::stop() {
  if (stopping_) {
    return;
  }
  stopping_ = true;
  if (poll_.busy) {
    io_uring_sqe* sqe = reactor_.ring().prepare(cancel_);
    io_uring_prep_cancel64(sqe, reinterpret_cast<std::uintptr_t>(&poll_), 0);
    io_uring_sqe_set_data(sqe, &cancel_);
    cancel_.busy = true;
  }
}

}  // namespace nvublk::service
