#include "service/control_connection.h"

#include <cerrno>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

#include "engine/check.h"

namespace nvublk::service {

ControlConnection::ControlConnection(Reactor& reactor, UniqueFd fd, ConnectionOwner& owner)
    : reactor_(reactor), fd_(std::move(fd)), owner_(owner), last_heard_(reactor.now()) {
  prepare_op(receive_, [](RingOp& op, std::int32_t result, std::uint32_t) {
    Op& own = static_cast<Op&>(op);
    own.busy = false;
    own.connection->received(result);
  });
  prepare_op(send_, [](RingOp& op, std::int32_t result, std::uint32_t) {
    Op& own = static_cast<Op&>(op);
    own.busy = false;
    own.connection->sent(result);
  });
  prepare_op(hangup_, [](RingOp& op, std::int32_t result, std::uint32_t flags) {
    static_cast<Op&>(op).connection->hung_up(result, flags);
  });
  prepare_op(cancel_, [](RingOp& op, std::int32_t, std::uint32_t) {
    Op& own = static_cast<Op&>(op);
    own.busy = false;
    own.connection->advance();
  });
}

ControlConnection::~ControlConnection() {
  CHECK(!receive_.busy && !send_.busy && !hangup_.busy && !cancel_.busy);
}

void ControlConnection::prepare_op(Op& op, RingOp::Complete complete) {
  op.connection = this;
  op.complete = complete;
}

void ControlConnection::start() {
  arm_hangup();
  arm_receive();
}

void ControlConnection::send(std::string_view line) {
  if (gone_) {
    return;
  }
  unsent_ += line;
  unsent_ += '\n';
  arm_send();
}

void ControlConnection::close() {
  if (gone_) {
    return;
  }
  gone_ = true;
  unsent_.clear();
  owner_.client_gone(*this);
  // Ends the receive and the send; the poll for a hang-up is multishot and must be cancelled.
  ::shutdown(fd_.get(), SHUT_RDWR);
  if (hangup_.busy) {
    io_uring_sqe* sqe = reactor_.ring().prepare(cancel_);
    io_uring_prep_cancel64(sqe, reinterpret_cast<std::uintptr_t>(&hangup_), 0);
    io_uring_sqe_set_data(sqe, &cancel_);
    cancel_.busy = true;
  }
  advance();
}

void ControlConnection::close_when_sent() {
  closing_ = true;
  advance();
}

void ControlConnection::call_started() {
  calls_++;
}

void ControlConnection::call_finished() {
  CHECK(calls_ > 0);
  calls_--;
  advance();
}

bool ControlConnection::may_read() const {
  return !gone_ && !closing_ && calls_ < kMaxCalls &&
         unsent_.size() + sending_.size() - sent_bytes_ < kMaxUnsentBytes;
}

void ControlConnection::arm_receive() {
  if (receive_.busy || ended_ || !may_read()) {
    return;
  }
  io_uring_sqe* sqe = reactor_.ring().prepare(receive_);
  io_uring_prep_recv(sqe, fd_.get(), received_.data(), received_.size(), 0);
  io_uring_sqe_set_data(sqe, &receive_);
  receive_.busy = true;
}

void ControlConnection::arm_send() {
  if (send_.busy || gone_) {
    return;
  }
  if (sent_bytes_ == sending_.size()) {
    sending_.clear();
    sent_bytes_ = 0;
    std::swap(sending_, unsent_);
  }
  if (sending_.empty()) {
    return;
  }
  io_uring_sqe* sqe = reactor_.ring().prepare(send_);
  io_uring_prep_send(sqe, fd_.get(), sending_.data() + sent_bytes_, sending_.size() - sent_bytes_,
                     MSG_NOSIGNAL);
  io_uring_sqe_set_data(sqe, &send_);
  send_.busy = true;
}

// A client may shut down its sending side and still wait for answers, so the end of the stream does
// not mean that it has gone; POLLHUP does. The multishot poll is edge triggered and reports both.
void ControlConnection::arm_hangup() {
  if (hangup_.busy || gone_) {
    return;
  }
  io_uring_sqe* sqe = reactor_.ring().prepare(hangup_);
  io_uring_prep_poll_multishot(sqe, fd_.get(), POLLHUP | POLLRDHUP);
  io_uring_sqe_set_data(sqe, &hangup_);
  hangup_.busy = true;
}

void ControlConnection::received(std::int32_t result) {
  last_heard_ = reactor_.now();
  if (gone_) {
    advance();
    return;
  }
  if (result == 0) {
    ended_ = true;
    lines_.append("\n");  // which the last line may lack
    advance();
    return;
  }
  if (result < 0) {
    if (result == -EINTR || result == -EAGAIN) {
      arm_receive();
    } else {
      close();
    }
    return;
  }
  lines_.append({received_.data(), static_cast<std::size_t>(result)});
  advance();
}

void ControlConnection::deliver_lines() {
  if (delivering_) {
    return;
  }
  delivering_ = true;
  while (may_read()) {
    if (lines_.overflown()) {
      owner_.line_too_long(*this);
      closing_ = true;
      break;
    }
    const std::optional<std::string> line = lines_.next();
    if (!line) {
      break;
    }
    if (!line->empty()) {
      owner_.line_received(*this, *line);
    }
  }
  delivering_ = false;
}

void ControlConnection::sent(std::int32_t result) {
  if (!gone_ && result < 0 && result != -EINTR && result != -EAGAIN) {
    close();
    return;
  }
  if (result > 0) {
    sent_bytes_ += static_cast<std::size_t>(result);
  }
  advance();
}

void ControlConnection::hung_up(std::int32_t result, std::uint32_t flags) {
  hangup_.busy = (flags & IORING_CQE_F_MORE) != 0;
  if (gone_) {
    advance();
    return;
  }
  if (result < 0 || (result & (POLLHUP | POLLERR)) != 0) {
    close();
    return;
  }
  arm_hangup();
}

// The one place that decides what comes next; called after every event.
void ControlConnection::advance() {
  if (delivering_) {
    return;
  }
  if (!gone_) {
    deliver_lines();
  }
  if (!gone_) {
    arm_send();
    const bool drained = !send_.busy && unsent_.empty();
    if (drained && (closing_ || (ended_ && calls_ == 0))) {
      close();
      return;
    }
    arm_receive();
    return;
  }
  if (!reported_ && !receive_.busy && !send_.busy && !hangup_.busy && !cancel_.busy) {
    reported_ = true;
    owner_.connection_closed(*this);
  }
}

}  // namespace nvublk::service
