#include "fuse/fuse_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "engine/check.h"
#include "engine/shard.h"

namespace nvublk::fuse {

namespace {

constexpr std::size_t kPage = 4096;
/// How many requests one turn can bring before the kernel has to be given more buffers.
constexpr unsigned kFirstOffer = 32;
/// Without multishot: each waiting read is woken for each request, so few are best.
constexpr unsigned kPlainReads = 4;

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
  struct Forward : ForwardedRequest {
    Slot* slot = nullptr;
  };
  FuseQueue* queue = nullptr;
  std::byte* payload = nullptr;
  Io read;
  Io write;
  Request request;
  Forward message;
  bool reading = false;  ///< a plain read into it is under way
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
    : options_(options), client_(client), multishot_(options.multishot) {
  read_.queue = this;
  read_.complete = [](RingOp& op, std::int32_t result, std::uint32_t flags) {
    static_cast<QueueOp&>(op).queue->on_multishot(result, flags);
  };
  cancel_.queue = this;
  cancel_.complete = [](RingOp& op, std::int32_t, std::uint32_t) {
    FuseQueue& queue = *static_cast<QueueOp&>(op).queue;
    queue.ring_ops_--;
    queue.report_if_quiet();
  };
  ended_message_.client = &client;
  ended_message_.deliver = [](Message& message) {
    static_cast<EndedMessage&>(message).client->connection_ended();
  };
}

FuseQueue::~FuseQueue() {
  CHECK(ring_ops_ == 0 && forwarded_ == 0 && in_use_ == 0);
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
  Reactor& reactor = options_.shard->reactor();
  // Provided buffers are of Linux 5.19; without them plain reads do.
  offered_limit_ = std::min(kFirstOffer, options_.depth);
  multishot_ = multishot_ && receive_ring_.open(reactor.ring(), options_.depth).has_value();
  prepare_slots(stride);
  reactor.dma_catalog().add(memory_entry_);
  reactor.request_feed(*this);
  return {};
}

void FuseQueue::prepare_slots(std::size_t stride) {
  slots_ = std::make_unique<Slot[]>(options_.depth);
  for (unsigned i = 0; i < options_.depth; i++) {
    Slot& slot = slots_[i];
    slot.queue = this;
    slot.payload = memory_.data() + i * stride + kPage;
    slot.read.slot = slot.write.slot = slot.request.slot = slot.message.slot = &slot;
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
  }
}

void FuseQueue::feed() {
  if (severed_ || ended_) {
    return;
  }
  if (multishot_) {
    offer_slots();
    read_multishot();
  } else {
    read_plainly();
  }
}

void FuseQueue::offer_slots() {
  while (offered_ < offered_limit_ && !free_.empty()) {
    Slot& slot = free_.pop_front();
    receive_ring_.offer(slot.received(), static_cast<std::uint32_t>(buffer_bytes_),
                        slot.request.tag);
    offered_++;
  }
  receive_ring_.publish();
}

// The descriptor is non-blocking, as another shard may take what made it readable; the read then
// goes on waiting inside the ring.
void FuseQueue::read_multishot() {
  if (reading_ || offered_ == 0) {
    return;
  }
  io_uring_sqe* sqe = options_.shard->reactor().ring().prepare(read_);
  sqe->opcode = kReadMultishot;
  sqe->fd = fd_;
  sqe->flags = IOSQE_BUFFER_SELECT;
  sqe->buf_group = receive_ring_.group();
  reading_ = true;
  ring_ops_++;
}

void FuseQueue::on_multishot(std::int32_t result, std::uint32_t flags) {
  if ((flags & IORING_CQE_F_MORE) == 0) {
    reading_ = false;
    ring_ops_--;
  }
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    Slot& slot = slots_[flags >> IORING_CQE_BUFFER_SHIFT];
    offered_--;
    in_use_++;
    if (result >= 0) {
      dispatch(slot, static_cast<std::size_t>(result));
    } else {
      release(slot);
    }
  }
  if (result == -ENOBUFS) {
    offered_limit_ = std::min(offered_limit_ * 2, options_.depth);
  } else if (result == -EINVAL && !served_) {
    multishot_ = false;
  } else if (result < 0) {
    on_read_error(-result);
  }
  served_ = true;
  options_.shard->reactor().request_feed(*this);
  report_if_quiet();
}

void FuseQueue::read_plainly() {
  while (plain_reads_ < kPlainReads && !free_.empty()) {
    Slot& slot = free_.pop_front();
    io_uring_sqe* sqe = options_.shard->reactor().ring().prepare(slot.read);
    io_uring_prep_read(sqe, fd_, slot.received(), static_cast<unsigned>(buffer_bytes_), 0);
    io_uring_sqe_set_data(sqe, static_cast<RingOp*>(&slot.read));
    slot.reading = true;
    in_use_++;
    ring_ops_++;
    plain_reads_++;
  }
}

void FuseQueue::on_read(Slot& slot, std::int32_t result) {
  ring_ops_--;
  plain_reads_--;
  slot.reading = false;
  if (result >= 0) {
    dispatch(slot, static_cast<std::size_t>(result));
  } else {
    release(slot);
    on_read_error(-result);
  }
  options_.shard->reactor().request_feed(*this);
  report_if_quiet();
}

void FuseQueue::on_read_error(int error) {
  // ENOENT: the request was aborted while it was read. ECANCELED: we sever.
  if (error != EAGAIN && error != EINTR && error != ENOENT && error != ECANCELED) {
    end_connection(error);
  }
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
    Slot& slot = *static_cast<Slot::Forward&>(message).slot;
    slot.queue->forwarded_--;
    slot.queue->release(slot);
    slot.queue->report_if_quiet();
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
    case BlockOp::kZoneAppend:
    case BlockOp::kZoneReport:
    case BlockOp::kZoneOpen:
    case BlockOp::kZoneClose:
    case BlockOp::kZoneFinish:
    case BlockOp::kZoneReset:
    case BlockOp::kZoneResetAll:
      break;
  }
  CHECK(false);  // files have no zones
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
    case BlockOp::kZoneAppend:
    case BlockOp::kZoneReport:
    case BlockOp::kZoneOpen:
    case BlockOp::kZoneClose:
    case BlockOp::kZoneFinish:
    case BlockOp::kZoneReset:
    case BlockOp::kZoneResetAll:
      break;
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
  in_use_--;
  options_.shard->reactor().request_feed(*this);
}

void FuseQueue::sever(std::function<void()> quiet) {
  CHECK_ON(*options_.shard);
  CHECK(!severed_);
  severed_ = true;
  on_quiet_ = std::move(quiet);
  if (reading_) {
    cancel(read_);
  }
  for (unsigned i = 0; plain_reads_ > 0 && i < options_.depth; i++) {
    if (slots_[i].reading) {
      cancel(slots_[i].read);
    }
  }
  report_if_quiet();
}

void FuseQueue::cancel(RingOp& op) {
  io_uring_sqe* sqe = options_.shard->reactor().ring().prepare(cancel_);
  io_uring_prep_cancel64(sqe, reinterpret_cast<std::uint64_t>(&op), 0);
  io_uring_sqe_set_data(sqe, static_cast<RingOp*>(&cancel_));
  ring_ops_++;
}

void FuseQueue::drain(std::function<void()> drained) {
  CHECK_ON(*options_.shard);
  CHECK(severed_);
  on_drained_ = std::move(drained);
  report_if_quiet();
}

void FuseQueue::report_if_quiet() {
  if (!severed_ || ring_ops_ > 0 || forwarded_ > 0) {
    return;
  }
  receive_ring_.close();
  if (on_quiet_) {
    options_.control->post(std::exchange(on_quiet_, nullptr));
  }
  if (on_drained_ && in_use_ == 0) {
    options_.shard->reactor().cancel_feed(*this);
    options_.shard->reactor().dma_catalog().remove(memory_entry_);
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
