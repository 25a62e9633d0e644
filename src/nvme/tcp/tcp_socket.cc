#include "nvme/tcp/tcp_socket.h"

#include <cerrno>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "engine/check.h"

namespace nvublk::nvme::tcp {

namespace {

Status set_int_option(int fd, int level, int option, int value, const char* name) {
  if (::setsockopt(fd, level, option, &value, sizeof(value)) != 0) {
    return fail_errno(errno, std::string("cannot set ") + name);
  }
  return {};
}

}  // namespace

TcpSocket::TcpSocket(Reactor& reactor, TcpSocketOwner& owner)
    : reactor_(reactor),
      owner_(owner),
      quiet_send_(*this),
      closed_([](Deferred&, void* self) { static_cast<TcpSocket*>(self)->ended_closed(); }, this) {
  for (Op* op : {&connect_, &send_, &receive_, &cancel_connect_, &cancel_send_, &cancel_receive_}) {
    op->socket = this;
    op->complete = [](RingOp& ended, std::int32_t, std::uint32_t) {
      auto& own = static_cast<Op&>(ended);
      own.socket->op_ended(own);
    };
  }
  connect_.complete = [](RingOp& op, std::int32_t result, std::uint32_t) {
    TcpSocket& self = *static_cast<Op&>(op).socket;
    self.op_ended(self.connect_);
    if (!self.closing_) {
      self.owner_.on_socket_connected(result);
    }
  };
  send_.complete = [](RingOp& op, std::int32_t result, std::uint32_t) {
    TcpSocket& self = *static_cast<Op&>(op).socket;
    self.full_ = false;
    self.op_ended(self.send_);
    if (!self.closing_) {
      self.owner_.on_socket_sent(result);
    }
  };
  receive_.complete = [](RingOp& op, std::int32_t result, std::uint32_t flags) {
    static_cast<Op&>(op).socket->on_receive(result, flags);
  };
}

TcpSocket::~TcpSocket() {
  CHECK(!busy());
  reactor_.cancel(closed_);
}

bool TcpSocket::busy() const {
  return connect_.busy || sending() || receive_.busy || cancel_connect_.busy || cancel_send_.busy ||
         cancel_receive_.busy;
}

Status TcpSocket::open(const Options& options) {
  CHECK(!fd_);
  peer_ = options.peer;
  fd_.reset(::socket(options.peer.family(), SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd_) {
    return fail_errno(errno, "cannot make a TCP socket");
  }
  return prepare(options);
}

Status TcpSocket::prepare(const Options& options) {
  const int fd = fd_.get();
  // Capsules are gathered here, so waiting for more before sending would only add latency.
  if (Status status = set_int_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"); !status) {
    return status;
  }
  // Closing throws away what was not sent yet. Otherwise the kernel would go on sending it, and
  // deliver a write of this connection after the next one has carried out the same and later ones.
  const linger abort_at_close{.l_onoff = 1, .l_linger = 0};
  if (::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_at_close, sizeof(abort_at_close)) != 0) {
    return fail_errno(errno, "cannot set SO_LINGER");
  }
  if (options.tos >= 0) {
    const bool ipv6 = options.peer.family() == AF_INET6;
    if (Status status =
            set_int_option(fd, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ipv6 ? IPV6_TCLASS : IP_TOS,
                           options.tos, "the type of service");
        !status) {
      return status;
    }
  }
  if (options.user_timeout_ms >= 0) {
    if (Status status = set_int_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options.user_timeout_ms,
                                       "TCP_USER_TIMEOUT");
        !status) {
      return status;
    }
  }
  if (!options.interface.empty() &&
      ::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options.interface.c_str(),
                   static_cast<socklen_t>(options.interface.size())) != 0) {
    return fail_errno(errno, "cannot bind to the interface " + options.interface);
  }
  if (options.local.length_bytes > 0) {
    // The kernel then chooses the port when it connects, and knows the peer: ports last longer. One
    // that was given may still be in TIME_WAIT, of the connection before this.
    Status status =
        options.local.port() == 0
            ? set_int_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1, "IP_BIND_ADDRESS_NO_PORT")
            : set_int_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (!status) {
      return status;
    }
    if (::bind(fd, options.local.get(), options.local.length_bytes) != 0) {
      return fail_errno(errno, "cannot connect from the host address or port that was given");
    }
  }
  return {};
}

io_uring_sqe* TcpSocket::begin(Op& op) {
  CHECK(fd_ && !op.busy);
  op.busy = true;
  return reactor_.ring().prepare(op);
}

void TcpSocket::connect() {
  CHECK(!closing_);
  io_uring_sqe* sqe = begin(connect_);
  io_uring_prep_connect(sqe, fd_.get(), peer_.get(), peer_.length_bytes);
  io_uring_sqe_set_data(sqe, &connect_);
}

void TcpSocket::send(std::span<iovec> pieces) {
  CHECK(!closing_ && !pieces.empty());
  io_uring_sqe* sqe = begin(send_);
  prepare_send(sqe, pieces, 0);
  io_uring_sqe_set_data(sqe, &send_);
}

// With MSG_DONTWAIT the kernel sends what fits while it takes the operation, and fails it there if
// that is not all.
void TcpSocket::send_quietly(std::span<iovec> pieces) {
  if (full_ || !reactor_.ring().can_skip_success()) {
    send(pieces);
    return;
  }
  CHECK(fd_ && !closing_ && !sending() && !pieces.empty());
  quiet_send_busy_ = true;
  std::size_t bytes = 0;
  for (const iovec& piece : pieces) {
    bytes += piece.iov_len;
  }
  quiet_send_.success_result = static_cast<std::int32_t>(bytes);
  io_uring_sqe* sqe = reactor_.ring().prepare(quiet_send_);
  prepare_send(sqe, pieces, MSG_DONTWAIT);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data(sqe, static_cast<RingOp*>(&quiet_send_));
  reactor_.expect_quietly(quiet_send_);
}

void TcpSocket::prepare_send(io_uring_sqe* sqe, std::span<iovec> pieces, unsigned flags) {
  flags |= MSG_NOSIGNAL | MSG_WAITALL;
  if (pieces.size() == 1) {
    io_uring_prep_send(sqe, fd_.get(), pieces[0].iov_base, pieces[0].iov_len,
                       static_cast<int>(flags));
    return;
  }
  send_message_ = {};
  send_message_.msg_iov = pieces.data();
  send_message_.msg_iovlen = pieces.size();
  io_uring_prep_sendmsg(sqe, fd_.get(), &send_message_, flags);
}

TcpSocket::QuietSend::QuietSend(TcpSocket& s)
    : QuietOp([](QuietOp& op, std::int32_t result) {
        static_cast<QuietSend&>(op).socket.on_quiet_sent(result);
      }),
      socket(s) {}

void TcpSocket::on_quiet_sent(std::int32_t result) {
  quiet_send_busy_ = false;
  ended_one();
  if (closing_) {
    return;
  }
  full_ = result != quiet_send_.success_result;
  owner_.on_socket_sent(result == -EAGAIN ? 0 : result);
}

void TcpSocket::receive(std::span<iovec> pieces, bool likely_empty) {
  CHECK(!closing_ && !pieces.empty());
  receive_pieces_ = pieces;
  issue_receive(likely_empty && poll_first_works_);
}

void TcpSocket::issue_receive(bool poll_first) {
  io_uring_sqe* sqe = begin(receive_);
  if (receive_pieces_.size() == 1) {
    io_uring_prep_recv(sqe, fd_.get(), receive_pieces_[0].iov_base, receive_pieces_[0].iov_len, 0);
  } else {
    receive_message_ = {};
    receive_message_.msg_iov = receive_pieces_.data();
    receive_message_.msg_iovlen = receive_pieces_.size();
    io_uring_prep_recvmsg(sqe, fd_.get(), &receive_message_, 0);
  }
  polled_first_ = poll_first;
  if (poll_first) {
    sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  }
  io_uring_sqe_set_data(sqe, &receive_);
}

void TcpSocket::on_receive(std::int32_t result, std::uint32_t flags) {
  op_ended(receive_);
  if (closing_) {
    return;
  }
  if (result == -EINVAL && polled_first_) {  // before Linux 5.19
    poll_first_works_ = false;
    issue_receive(false);
    return;
  }
  owner_.on_socket_received(result, (flags & IORING_CQE_F_SOCK_NONEMPTY) != 0);
}

void TcpSocket::close(std::span<const std::byte> last_words) {
  CHECK(!closing_);
  closing_ = true;
  if (fd_) {
    if (!last_words.empty() && !sending()) {
      ::send(fd_.get(), last_words.data(), last_words.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    // Ends what waits for the peer; fails if there is no connection, and then nothing waits so.
    ::shutdown(fd_.get(), SHUT_RDWR);
  }
  cancel(connect_, cancel_connect_);
  cancel(send_, cancel_send_);
  cancel(receive_, cancel_receive_);
  if (!busy()) {
    reactor_.defer(closed_);
  }
}

void TcpSocket::cancel(Op& target, Op& op) {
  if (target.busy) {
    io_uring_sqe* sqe = begin(op);
    io_uring_prep_cancel64(sqe, reinterpret_cast<std::uintptr_t>(&target), 0);
    io_uring_sqe_set_data(sqe, &op);
  }
}

void TcpSocket::op_ended(Op& op) {
  op.busy = false;
  ended_one();
}

void TcpSocket::ended_one() {
  if (closing_ && !busy()) {
    reactor_.defer(closed_);
  }
}

void TcpSocket::ended_closed() {
  fd_.reset();
  owner_.on_socket_closed();
}

}  // namespace nvublk::nvme::tcp
