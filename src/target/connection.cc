#include "target/connection.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace nvublk::target {

namespace {

/// Large enough for many capsules with data, and for any PDU that is handled as a whole.
constexpr std::size_t kBufferBytes = 512u << 10;
constexpr std::size_t kMostEntries = 1024;
/// How long a host has for TLS, ICReq and Connect.
constexpr std::chrono::seconds kHandshakeTime{30};

}  // namespace

Connection::Connection(Worker& worker, Subsystem& subsystem, int fd, ListenAddress local)
    : worker_(worker),
      subsystem_(subsystem),
      options_(subsystem.options()),
      fd_(fd),
      queue_(subsystem, worker.namespaces(), worker.stats(), std::move(local)),
      writer_(output_, negotiated_, subsystem.faults()),
      buffer_(std::make_unique_for_overwrite<std::uint8_t[]>(kBufferBytes)) {
  if (subsystem.tls() != nullptr) {
    tls_ = std::make_unique<TlsSession>(*subsystem.tls(), fd);
    phase_ = Phase::kSecure;
  }
}

Connection::~Connection() {
  if (fd_ >= 0) ::close(fd_);
}

void Connection::open() {
  queue_.set_owner(weak_from_this());
  watched_ = EPOLLIN;
  if (!worker_.watch(fd_, watched_, this)) {
    close();
    return;
  }
  start_deadline(kHandshakeTime);
}

void Connection::start_deadline(std::chrono::milliseconds delay) {
  if (deadline_) worker_.cancel(*deadline_);
  deadline_ = worker_.after(delay, [this] {
    deadline_.reset();
    if (phase_ == Phase::kTerminating || !queue_.connected()) close();
  });
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  if (deadline_) worker_.cancel(*deadline_);
  if (keep_alive_timer_) worker_.cancel(*keep_alive_timer_);
  worker_.unwatch(fd_);
  if (tls_) tls_->end();
  ::close(fd_);
  fd_ = -1;
  output_.clear();
  queue_.close();
  worker_.release(*this);
}

void Connection::close_later() {
  worker_.post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->close();
  });
}

void Connection::complete_held(std::uint16_t cid, std::uint32_t result, NvmeStatus status) {
  worker_.post([weak = weak_from_this(), cid, result, status] {
    const auto self = weak.lock();
    if (self == nullptr || self->phase_ != Phase::kLive) return;
    self->cids_.reset(cid);
    self->writer_.response(self->queue_.complete_held(cid, result, status), self->admin());
    self->flush();
  });
}

void Connection::on_ready(std::uint32_t events) {
  if (phase_ == Phase::kClosed) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) {
    close();
    return;
  }
  if (phase_ == Phase::kSecure) {
    secure();
    return;
  }
  if ((events & EPOLLOUT) != 0) {
    flush();
    // Input may wait that was not processed because there was too much output.
    if (phase_ == Phase::kLive) {
      process();
      flush();
    }
  }
  if ((events & EPOLLIN) != 0 && phase_ != Phase::kClosed) {
    if (phase_ == Phase::kTerminating) {
      receive_to_nowhere();
    } else {
      receive();
    }
  }
  // The socket does not tell of what was received as a part of a record.
  while (more_in_record() && receive()) {
  }
}

bool Connection::more_in_record() const {
  return tls_ && (phase_ == Phase::kInitialize || phase_ == Phase::kLive) && tls_->pending() &&
         output_.pending_bytes() <= kOutputHighWater;
}

void Connection::secure() {
  const TlsSession::Progress progress = tls_->accept();
  if (progress == TlsSession::Progress::kFailed) {
    // What is wrong, the host has been told: it is for it to close.
    phase_ = Phase::kTerminating;
    start_deadline(kTerminationTime);
    shutdown(fd_, SHUT_WR);
  } else if (progress == TlsSession::Progress::kDone) {
    phase_ = Phase::kInitialize;
    queue_.set_secure_names(tls_->share().hostnqn, tls_->share().subnqn);
  }
  const bool blocked = progress == TlsSession::Progress::kAgain && tls_->wants_to_write();
  watched_ = EPOLLIN | (blocked ? static_cast<std::uint32_t>(EPOLLOUT) : 0u);
  worker_.rewatch(fd_, watched_, this);
}

ssize_t Connection::receive_into(std::span<const iovec> entries) {
  return tls_ ? tls_->read(entries) : readv(fd_, entries.data(), static_cast<int>(entries.size()));
}

ssize_t Connection::send_from(std::span<iovec> entries) {
  if (tls_) return tls_->write(entries);
  msghdr message{};
  message.msg_iov = entries.data();
  message.msg_iovlen = entries.size();
  return sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Connection::receive_to_nowhere() {
  const ssize_t got = recv(fd_, buffer_.get(), kBufferBytes, 0);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) close();
}

// Whether there was something.
bool Connection::receive() {
  if (subsystem_.faults().present(FaultKind::kBlackHole, admin())) {
    receive_to_nowhere();
    return false;
  }
  if (begin_ != 0) {
    std::copy(buffer_.get() + begin_, buffer_.get() + end_, buffer_.get());
    end_ -= begin_;
    begin_ = 0;
  }
  // Data of a command goes straight to its place; whatever follows goes to the buffer.
  std::array<iovec, 2> entries{};
  std::size_t used = 0;
  const std::size_t direct = incoming_ != nullptr && end_ == 0 ? incoming_left_ : 0;
  if (direct != 0) {
    entries[used++] = {incoming_->buffer.get() + incoming_offset_, direct};
  }
  if (end_ < kBufferBytes) entries[used++] = {buffer_.get() + end_, kBufferBytes - end_};
  if (used == 0) return false;
  const ssize_t got = receive_into(std::span(entries).first(used));
  worker_.stats().receives.add();
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
    close();
    return false;
  }
  if (got < 0) return false;
  const auto length = static_cast<std::size_t>(got);
  worker_.stats().bytes_received.add(length);
  const std::size_t placed = std::min(length, direct);
  if (placed != 0) {
    if (incoming_digest_) {
      incoming_crc_.update(incoming_->buffer.get() + incoming_offset_, placed);
    }
    incoming_offset_ += static_cast<std::uint32_t>(placed);
    incoming_left_ -= static_cast<std::uint32_t>(placed);
  }
  end_ += length - placed;
  process();
  if (phase_ != Phase::kClosed) flush();
  return true;
}

std::size_t Connection::send_limit() const {
  return byte_limit_ ? static_cast<std::size_t>(*byte_limit_ - bytes_sent_) : SIZE_MAX;
}

void Connection::flush() {
  std::array<iovec, kMostEntries> entries;
  while (!output_.empty() && phase_ != Phase::kClosed) {
    if (!byte_limit_ && subsystem_.faults().active()) {
      if (const auto limit = subsystem_.faults().take_byte_limit(admin())) {
        byte_limit_ = bytes_sent_ + *limit;
      }
    }
    const ssize_t sent = send_from(std::span(entries).first(output_.gather(entries, send_limit())));
    worker_.stats().sends.add();
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (sent < 0) {
      close();
      return;
    }
    const auto length = static_cast<std::size_t>(sent);
    bytes_sent_ += length;
    worker_.stats().bytes_sent.add(length);
    const OutputQueue::Sent done = output_.advance(length);
    worker_.stats().pdus_sent.add(done.pdus);
    outstanding_ -= std::min(outstanding_, done.commands);
    if (byte_limit_ && bytes_sent_ >= *byte_limit_) {
      close();
      return;
    }
  }
  if (phase_ == Phase::kTerminating && output_.empty()) shutdown(fd_, SHUT_WR);
  update_watch();
}

void Connection::update_watch() {
  if (phase_ == Phase::kClosed) return;
  const bool blocked = output_.pending_bytes() > kOutputHighWater;
  const std::uint32_t wanted = (output_.empty() ? 0u : static_cast<std::uint32_t>(EPOLLOUT)) |
                               (blocked ? 0u : static_cast<std::uint32_t>(EPOLLIN));
  if (wanted == watched_) return;
  watched_ = wanted;
  worker_.rewatch(fd_, watched_, this);
}

void Connection::check_keep_alive() {
  if (!queue_.connected() || !admin()) return;
  const std::uint32_t kato = queue_.controller()->kato_ms();
  if (kato == keep_alive_ms_) return;
  keep_alive_ms_ = kato;
  if (keep_alive_timer_) worker_.cancel(*keep_alive_timer_);
  keep_alive_timer_.reset();
  const auto deadline = queue_.controller()->keep_alive_deadline();
  if (!deadline) return;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Worker::Clock::now());
  keep_alive_timer_ = worker_.after(std::max(left, std::chrono::milliseconds{0}), [this] {
    keep_alive_timer_.reset();
    keep_alive_ms_ = 0;
    if (!queue_.connected()) return;
    const auto due = queue_.controller()->keep_alive_deadline();
    if (due && *due <= Worker::Clock::now()) {
      // The host is gone: the controller ends, and its connections with it. [Base 2.1 §3.9]
      close();
      return;
    }
    check_keep_alive();
  });
}

}  // namespace nvublk::target
