#include "fuse/fuse_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include <poll.h>
#include <sys/epoll.h>

#include "engine/check.h"
#include "engine/shard.h"

namespace nvublk::fuse {

namespace {

constexpr std::size_t kPage = 4096;
/// More reads per round than this bring nothing: the kernel queues requests one by one.
constexpr unsigned kMaxBurst = 32;

constexpr std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// What the kernel accepts in a reply: ENOSYS would make it stop asking for ever.
int to_reply_error(int error) {
  constexpr int kMaxError = 511;
  if (error == 0) {
    return 0;
  }
  return error < 0 || error > kMaxError || error == ENOSYS ? -EIO : -error;
}

}  // namespace

/// One request at a time. The page before `payload` ends with the headers: a write's payload is
/// page aligned, and the header of a reply lies directly before its data.
struct FuseQueue::Slot : ListHook<SlotTag> {
  struct Io : RingOp {
    Slot* slot = nullptr;
  };
  struct Request : BlockRequest {
    Slot* slot = nullptr;
  };
  FuseQueue* queue = nullptr;
  std::byte* payload = nullptr;
  Io read;
  Io write;
  Request request;
  ForwardedRequest message;
  bool armed = false;  ///< its read waits for the descriptor to become readable
  bool punch_hole = false;
  bool submitting = false;  ///< submit() of the device is on the stack
  bool answered = false;    ///< the device answered within submit()
  std::uint64_t unique = 0;
  std::uint64_t lba = 0;     ///< of the next piece
  std::uint64_t blocks = 0;  ///< that are left
  std::uint64_t done_bytes = 0;

  std::byte* received() const { return payload - abi::kWriteHeader; }
};

FuseQueue::FuseQueue(const Options& options, FuseQueueClient& client)
    : options_(options), client_(client) {
  poll_.queue = this;
  poll_.complete = [](RingOp& op, std::int32_t, std::uint32_t) {
    FuseQueue& queue = *static_cast<RoundOp&>(op).queue;
    queue.ring_ops_--;
    queue.poll_pending_ = false;
    queue.end_round_if_complete();
  };
  cancel_.queue = this;
  cancel_.complete = [](RingOp& op, std::int32_t, std::uint32_t) {
    FuseQueue& queue = *static_cast<RoundOp&>(op).queue;
    queue.ring_ops_--;
    queue.report_if_quiet();
  };
  ended_message_.client = &client;
  ended_message_.deliver = [](Message& message) {
    static_cast<EndedMessage&>(message).client->connection_ended();
  };
}

FuseQueue::~FuseQueue() {
  CHECK(ring_ops_ == 0 && forwarded_ == 0);
  CHECK(slots_ == nullptr || free_count_ == options_.depth);
  while (!free_.empty()) {
    free_.pop_front();
  }
}

Status FuseQueue::start(int fd) {
  CHECK_ON(*options_.shard);
  const std::size_t payload_bytes = round_up(
      std::max<std::size_t>(options_.limits.max_transfer_bytes, abi::kMinReadBuffer), kPage);
  buffer_bytes_ = abi::kWriteHeader + payload_bytes;
  const std::size_t stride = kPage + payload_bytes;
  auto memory = DmaRegion::reserve(stride * options_.depth);
  if (!memory) {
    return std::unexpected(std::move(memory.error()));
  }
  memory_ = std::move(*memory);
  fd_ = fd;
  slots_ = std::make_unique<Slot[]>(options_.depth);
  for (unsigned i = 0; i < options_.depth; i++) {
    Slot& slot = slots_[i];
    slot.queue = this;
    slot.payload = memory_.data() + i * stride + kPage;
    slot.read.slot = slot.write.slot = slot.request.slot = &slot;
    slot.read.complete = [](RingOp& op, std::int32_t result, std::uint32_t) {
      Slot& done = *static_cast<Slot::Io&>(op).slot;
      done.queue->on_read(done, result);
    };
    slot.write.complete = [](RingOp& op, std::int32_t result, std::uint32_t) {
      Slot& done = *static_cast<Slot::Io&>(op).slot;
      done.queue->on_replied(done, result);
    };
    slot.request.tag = static_cast<std::uint16_t>(i);
    slot.request.done = [](BlockRequest& request) {
      Slot& done = *static_cast<Slot::Request&>(request).slot;
      done.queue->on_device_done(done);
    };
    slot.message.queue = this;
    free_.push_back(slot);
    free_count_++;
  }
  options_.shard->reactor().request_feed(*this);
  return {};
}

FuseQueue::Slot& FuseQueue::take_free() {
  free_count_--;
  return free_.pop_front();
}

// Requests are read in rounds: some plain reads, as many as lately found a request, and then one
// that waits until the descriptor is readable. The descriptor is non-blocking, as another shard may
// take what made it readable.
void FuseQueue::feed() {
  if (severed_ || ended_ || poll_pending_ || round_reads_ > 0 || free_count_ == 0) {
    return;
  }
  round_plain_ = std::min(burst_, free_count_ - 1);
  round_success_ = 0;
  for (unsigned i = 0; i < round_plain_; i++) {
    issue_read(take_free(), false);
  }
  arm();
}

void FuseQueue::arm() {
  Uring& ring = options_.shard->reactor().ring();
  if (io_uring_sq_space_left(&ring.raw()) < 2) {
    // A link must not be torn apart by a submission between its two halves.
    ring.enter(Uring::kDoNotWait);
  }
  io_uring_sqe* sqe = ring.prepare(poll_);
  // Exclusive: of the shards that wait for the same connection, one wakes up.
  io_uring_prep_poll_add(sqe, fd_, static_cast<unsigned>(POLLIN) | EPOLLEXCLUSIVE);
  io_uring_sqe_set_data(sqe, static_cast<RingOp*>(&poll_));
  sqe->flags |= IOSQE_IO_LINK;
  ring_ops_++;
  poll_pending_ = true;
  issue_read(take_free(), true);
}

void FuseQueue::issue_read(Slot& slot, bool armed) {
  slot.armed = armed;
  io_uring_sqe* sqe = options_.shard->reactor().ring().prepare(slot.read);
  io_uring_prep_read(sqe, fd_, slot.received(), static_cast<unsigned>(buffer_bytes_), 0);
  io_uring_sqe_set_data(sqe, static_cast<RingOp*>(&slot.read));
  ring_ops_++;
  round_reads_++;
}

void FuseQueue::on_read(Slot& slot, std::int32_t result) {
  ring_ops_--;
  round_reads_--;
  if (result >= 0) {
    if (!slot.armed) {
      round_success_++;
    }
    dispatch(slot, static_cast<std::size_t>(result));
  } else {
    release(slot);
    // ENOENT: the request was aborted while it was read. ECANCELED: we sever.
    if (result != -EAGAIN && result != -EINTR && result != -ENOENT && result != -ECANCELED) {
      end_connection(-result);
    }
  }
  end_round_if_complete();
}

void FuseQueue::end_round_if_complete() {
  if (round_reads_ > 0 || poll_pending_) {
    return;
  }
  if (round_success_ < round_plain_) {
    burst_ = round_success_;
  } else {
    // More than one in flight: somebody submits faster than we read one by one.
    const unsigned busy = options_.depth - free_count_;
    burst_ = std::min(std::max(burst_ * 2, busy > 1 ? 1U : 0U), kMaxBurst);
  }
  options_.shard->reactor().request_feed(*this);
  report_if_quiet();
}

void FuseQueue::end_connection(int error) {
  if (ended_) {
    return;
  }
  ended_ = true;
  if (error != ENODEV && error != ECONNABORTED) {
    log_error("fuse", std::string("reading requests failed: ") + std::strerror(error));
  }
  options_.control->reactor().post(ended_message_);
}

void FuseQueue::dispatch(Slot& slot, std::size_t length_bytes) {
  const FileRequest request = decode_file_request({slot.received(), length_bytes}, options_.limits);
  slot.unique = request.unique;
  if (severed_) {
    release(slot);
    return;
  }
  switch (request.verdict) {
    case FileRequest::Verdict::kSubmit:
      submit(slot, request);
      return;
    case FileRequest::Verdict::kOpen:
      reply_opened(slot);
      return;
    case FileRequest::Verdict::kReply:
      reply(slot, request.error == ENOSYS ? -ENOSYS : to_reply_error(request.error), 0);
      return;
    case FileRequest::Verdict::kForward:
      forward(slot, length_bytes);
      return;
    case FileRequest::Verdict::kIgnore:
      break;
    case FileRequest::Verdict::kInvalid:
      counters_.errors.add();
      break;
  }
  release(slot);
}

void FuseQueue::forward(Slot& slot, std::size_t length_bytes) {
  forwarded_++;
  slot.message.bytes = {slot.received(), length_bytes};
  slot.message.deliver = [](Message& message) {
    auto& request = static_cast<ForwardedRequest&>(message);
    request.queue->client_.forwarded(request);
  };
  options_.control->reactor().post(slot.message);
}

void FuseQueue::give_back(ForwardedRequest& request) {
  request.deliver = [](Message& message) {
    auto& answered = static_cast<ForwardedRequest&>(message);
    FuseQueue& queue = *answered.queue;
    const std::size_t stride = queue.memory_.size_bytes() / queue.options_.depth;
    const auto offset = static_cast<std::size_t>(answered.bytes.data() - queue.memory_.data());
    queue.forwarded_--;
    queue.release(queue.slots_[offset / stride]);
    queue.report_if_quiet();
  };
  options_.shard->reactor().post(request);
}

void FuseQueue::reply_opened(Slot& slot) {
  abi::OpenOut opened;
  opened.open_flags = abi::kOpenDirectIo | abi::kOpenNoFlush | abi::kOpenParallelDirectWrites;
  std::memcpy(slot.payload, &opened, sizeof(opened));
  reply(slot, 0, sizeof(opened));
}

void FuseQueue::submit(Slot& slot, const FileRequest& request) {
  slot.request.op = request.op;
  slot.request.no_unmap = request.no_unmap;
  slot.punch_hole = request.punch_hole;
  slot.lba = request.lba;
  slot.blocks = request.blocks;
  slot.done_bytes = 0;
  counters_.in_flight.add();
  if (request.blocks == 0 && request.op != BlockOp::kFlush) {
    finish(slot, 0);
    return;
  }
  submit_pieces(slot);
}

std::uint32_t FuseQueue::next_piece_blocks(const Slot& slot) const {
  const BlockGeometry& geometry = options_.geometry;
  std::uint64_t limit = slot.blocks;
  if (slot.request.op == BlockOp::kWriteZeroes) {
    limit = std::min<std::uint64_t>(limit, geometry.max_write_zeroes_blocks);
  } else {
    const std::uint32_t most = geometry.max_transfer_bytes / geometry.block_size_bytes;
    limit = std::min<std::uint64_t>(limit, most);
    if (geometry.boundary_blocks > 0) {
      limit = std::min(limit, geometry.boundary_blocks - slot.lba % geometry.boundary_blocks);
    }
  }
  return static_cast<std::uint32_t>(limit);
}

// One piece after the other until the request is done; nearly always there is one only. A device
// that answers within submit() must not make us recurse.
void FuseQueue::submit_pieces(Slot& slot) {
  do {
    slot.request.lba = slot.lba;
    slot.request.blocks = next_piece_blocks(slot);
    slot.request.data = slot.payload + slot.done_bytes;
    slot.request.error = 0;
    slot.answered = false;
    slot.submitting = true;
    options_.device_queue->submit(slot.request);
    slot.submitting = false;
    if (!slot.answered) {
      return;
    }
    slot.lba += slot.request.blocks;
    slot.blocks -= slot.request.blocks;
    slot.done_bytes += std::uint64_t{slot.request.blocks} * options_.geometry.block_size_bytes;
  } while (slot.request.error == 0 && slot.blocks > 0);
  finish(slot, slot.request.error);
}

void FuseQueue::on_device_done(Slot& slot) {
  slot.answered = true;
  if (slot.submitting) {
    return;
  }
  slot.lba += slot.request.blocks;
  slot.blocks -= slot.request.blocks;
  slot.done_bytes += std::uint64_t{slot.request.blocks} * options_.geometry.block_size_bytes;
  if (slot.request.error == 0 && slot.blocks > 0) {
    submit_pieces(slot);
    return;
  }
  finish(slot, slot.request.error);
}

void FuseQueue::finish(Slot& slot, int error) {
  count_finished(slot, error);
  if (error != 0) {
    reply(slot, to_reply_error(error), 0);
    return;
  }
  switch (slot.request.op) {
    case BlockOp::kRead:
      reply(slot, 0, slot.done_bytes);
      return;
    case BlockOp::kWrite: {
      const abi::WriteOut written{static_cast<std::uint32_t>(slot.done_bytes), 0};
      std::memcpy(slot.payload, &written, sizeof(written));
      reply(slot, 0, sizeof(written));
      return;
    }
    case BlockOp::kFlush:
    case BlockOp::kDiscard:
    case BlockOp::kWriteZeroes:
      reply(slot, 0, 0);
      return;
  }
}

void FuseQueue::count_finished(const Slot& slot, int error) {
  counters_.in_flight.subtract();
  if (error != 0) {
    counters_.errors.add();
  }
  switch (slot.request.op) {
    case BlockOp::kRead:
      counters_.reads.add();
      counters_.read_bytes.add(error == 0 ? slot.done_bytes : 0);
      return;
    case BlockOp::kWrite:
      counters_.writes.add();
      counters_.write_bytes.add(error == 0 ? slot.done_bytes : 0);
      return;
    case BlockOp::kFlush:
      counters_.flushes.add();
      return;
    case BlockOp::kDiscard:
      counters_.discards.add();
      return;
    case BlockOp::kWriteZeroes:
      (slot.punch_hole ? counters_.discards : counters_.write_zeroes).add();
      return;
  }
}

void FuseQueue::reply(Slot& slot, int error, std::size_t body_bytes) {
  if (severed_) {
    release(slot);
    report_if_quiet();
    return;
  }
  const abi::OutHeader header{static_cast<std::uint32_t>(sizeof(abi::OutHeader) + body_bytes),
                              error, slot.unique};
  std::byte* begin = slot.payload - sizeof(header);
  std::memcpy(begin, &header, sizeof(header));
  io_uring_sqe* sqe = options_.shard->reactor().ring().prepare(slot.write);
  io_uring_prep_write(sqe, fd_, begin, header.len, 0);
  io_uring_sqe_set_data(sqe, static_cast<RingOp*>(&slot.write));
  ring_ops_++;
}

void FuseQueue::on_replied(Slot& slot, std::int32_t result) {
  ring_ops_--;
  // ENOENT: the requester was interrupted or the connection is gone; nobody waits for the reply.
  if (result < 0 && result != -ENOENT && result != -ENODEV && result != -ECONNABORTED &&
      result != -EPERM) {
    counters_.errors.add();
    if (limiter_.allow(options_.shard->reactor().now())) {
      log_error("fuse", std::string("a reply failed: ") + std::strerror(-result));
    }
  }
  release(slot);
  report_if_quiet();
}

void FuseQueue::release(Slot& slot) {
  // The latest first: its pages are in the caches.
  free_.push_front(slot);
  free_count_++;
  options_.shard->reactor().request_feed(*this);
}

void FuseQueue::sever(std::function<void()> quiet) {
  CHECK_ON(*options_.shard);
  CHECK(!severed_);
  severed_ = true;
  on_quiet_ = std::move(quiet);
  if (poll_pending_) {
    io_uring_sqe* sqe = options_.shard->reactor().ring().prepare(cancel_);
    io_uring_prep_cancel64(sqe, reinterpret_cast<std::uint64_t>(static_cast<RingOp*>(&poll_)), 0);
    io_uring_sqe_set_data(sqe, static_cast<RingOp*>(&cancel_));
    ring_ops_++;
  }
  report_if_quiet();
}

void FuseQueue::drain(std::function<void()> drained) {
  CHECK_ON(*options_.shard);
  CHECK(severed_);
  draining_ = true;
  on_drained_ = std::move(drained);
  report_if_quiet();
}

void FuseQueue::report_if_quiet() {
  if (!severed_ || ring_ops_ > 0 || forwarded_ > 0) {
    return;
  }
  if (on_quiet_) {
    options_.control->post(std::exchange(on_quiet_, nullptr));
  }
  if (draining_ && on_drained_ && (slots_ == nullptr || free_count_ == options_.depth)) {
    options_.shard->reactor().cancel_feed(*this);
    options_.control->post(std::exchange(on_drained_, nullptr));
  }
}

void FuseQueue::add_statistics(BlockExportStatistics& sum) const {
  sum.in_flight += counters_.in_flight.get();
  sum.reads += counters_.reads.get();
  sum.writes += counters_.writes.get();
  sum.flushes += counters_.flushes.get();
  sum.discards += counters_.discards.get();
  sum.write_zeroes += counters_.write_zeroes.get();
  sum.read_bytes += counters_.read_bytes.get();
  sum.write_bytes += counters_.write_bytes.get();
  sum.errors += counters_.errors.get();
}

}  // namespace nvublk::fuse
