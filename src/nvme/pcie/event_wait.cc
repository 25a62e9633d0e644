#include "nvme/pcie/event_wait.h"

#include <sys/eventfd.h>

#include "engine/check.h"

namespace nvublk::nvme::pcie {

EventWait::EventWait(Reactor& reactor, Event fired, void* context)
    : reactor_(reactor),
      fired_(fired),
      context_(context),
      idle_(
          [](Deferred&, void* self) {
            auto& wait = *static_cast<EventWait*>(self);
            wait.closed_(wait.context_);
          },
          this) {
  op_.owner = this;
  op_.complete = [](RingOp& op, std::int32_t, std::uint32_t) {
    static_cast<ReadOp&>(op).owner->on_read();
  };
}

EventWait::~EventWait() {
  CHECK(!armed_);
  reactor_.cancel(idle_);
}

void EventWait::arm(int fd) {
  CHECK(!armed_ && closed_ == nullptr);
  armed_ = true;
  fd_ = fd;
  io_uring_sqe* sqe = reactor_.ring().prepare(op_);
  io_uring_prep_read(sqe, fd, &value_, sizeof(value_), 0);
  io_uring_sqe_set_data(sqe, &op_);
}

void EventWait::on_read() {
  armed_ = false;
  if (closed_ != nullptr) {
    closed_(context_);
  } else if (fired_ != nullptr) {
    fired_(context_);
  }
}

void EventWait::close(Event closed) {
  CHECK(closed_ == nullptr && closed != nullptr);
  closed_ = closed;
  if (armed_) {
    ::eventfd_write(fd_, 1);  // ends the read
  } else {
    reactor_.defer(idle_);
  }
}

}  // namespace nvublk::nvme::pcie
