#include "ublk/ublk_queue.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <sys/mman.h>

#include "engine/check.h"
#include "ublk/user_copy.h"
#include "ublk/zone_report.h"

namespace nvublk::ublk {

namespace {

constexpr std::size_t kPageBytes = 4096;

constexpr std::size_t whole_pages(std::size_t length) {
  return (length + kPageBytes - 1) / kPageBytes * kPageBytes;
}

/// The result of a failed request, for the kernel.
std::int32_t result_of_error(int error) {
  // EAGAIN would not be tried again but end up in the application, as would anything below 1.
  if (error <= 0 || error == EAGAIN) {
    return -EIO;
  }
  return -error;
}

}  // namespace

Result<DescriptorMap> DescriptorMap::map(int char_fd, std::uint16_t queue_id, std::uint16_t depth) {
  constexpr std::size_t kStride = whole_pages(abi::kMaxQueueDepth * sizeof(abi::IoDescriptor));
  const std::size_t length = whole_pages(depth * sizeof(abi::IoDescriptor));
  const auto offset = static_cast<off_t>(abi::kCommandBufferOffset + queue_id * kStride);
  void* memory = ::mmap(nullptr, length, PROT_READ, MAP_SHARED | MAP_POPULATE, char_fd, offset);
  if (memory == MAP_FAILED) {
    return fail_errno(errno, "cannot map the requests of queue " + std::to_string(queue_id));
  }
  return DescriptorMap(memory, length);
}

DescriptorMap::~DescriptorMap() {
  if (memory_ != nullptr) {
    ::munmap(memory_, length_bytes_);
  }
}

abi::IoDescriptor DescriptorMap::at(std::uint16_t tag) const {
  abi::IoDescriptor copy;
  std::memcpy(&copy, static_cast<const std::byte*>(memory_) + tag * sizeof(copy), sizeof(copy));
  // The compiler may not read the shared memory a second time, after the checks.
  asm volatile("" : "+m"(copy));
  return copy;
}

Result<std::unique_ptr<UblkQueue>> UblkQueue::create(const Options& options, const Events& events) {
  CHECK(options.depth > 0);
  auto descriptors = DescriptorMap::map(options.char_fd, options.queue_id, options.depth);
  if (!descriptors) {
    return std::unexpected(std::move(descriptors.error()));
  }
  // All of it, now: a request that has to wait for memory may wait for what only itself would free.
  auto buffers = DmaRegion::allocate(std::size_t{options.depth} * options.buffer_bytes,
                                     options.shard->numa_node());
  if (!buffers) {
    return std::unexpected(std::move(buffers.error()));
  }
  return std::unique_ptr<UblkQueue>(
      new UblkQueue(options, events, std::move(*descriptors), std::move(*buffers)));
}

UblkQueue::UblkQueue(const Options& options, const Events& events, DescriptorMap descriptors,
                     DmaRegion buffers)
    : options_(options),
      events_(events),
      descriptors_(std::move(descriptors)),
      buffers_(std::move(buffers)),
      slots_(std::make_unique<Slot[]>(options.depth)),
      ready_(std::make_unique<std::uint16_t[]>(options.depth)) {
  for (std::uint16_t tag = 0; tag < options_.depth; tag++) {
    Slot& slot = slots_[tag];
    slot.complete = &UblkQueue::on_kernel;
    slot.done = &UblkQueue::on_done;
    slot.owner = this;
    slot.tag = tag;
    slot.data = buffers_.data() + std::size_t{tag} * options_.buffer_bytes;
  }
  idle_message_.owner = this;
  idle_message_.deliver = [](Message& message) {
    const Events& to = static_cast<EventMessage&>(message).owner->events_;
    to.idle(to.context);
  };
  drained_message_.owner = this;
  drained_message_.deliver = [](Message& message) {
    const Events& to = static_cast<EventMessage&>(message).owner->events_;
    to.drained(to.context);
  };
  failed_message_.owner = this;
  failed_message_.deliver = [](Message& message) {
    auto& failure = static_cast<EventMessage&>(message);
    const Events& to = failure.owner->events_;
    to.failed(to.context, failure.error);
  };
}

UblkQueue::~UblkQueue() {
  CHECK(tags_out_ == 0);
}

void UblkQueue::fetch_all() {
  CHECK_ON(*options_.shard);
  options_.shard->reactor().dma_catalog().add(buffers_entry_);
  for (std::uint16_t tag = 0; tag < options_.depth; tag++) {
    Slot& slot = slots_[tag];
    CHECK(slot.state == State::kIdle);
    slot.state = State::kFetching;
    tags_out_++;
    send(slot, abi::kFetchReq, 0);
  }
}

void UblkQueue::watch_idle() {
  CHECK_ON(*options_.shard);
  watched_ = true;
  report_if_idle();
}

void UblkQueue::hold() {
  CHECK_ON(*options_.shard);
  holding_ = true;
  report_if_drained();
}

void UblkQueue::report_if_drained() {
  if (holding_ && counters_.in_flight.get() == 0 && !drained_message_.posted) {
    drained_message_.posted = true;
    events_.control->reactor().post(drained_message_);
  }
}

void UblkQueue::send(Slot& slot, std::uint32_t command, std::int32_t result) {
  io_uring_sqe* sqe = options_.shard->reactor().ring().prepare(slot);
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = options_.char_fd;
  sqe->cmd_op = command;
  abi::IoCommand io{};
  io.q_id = options_.queue_id;
  io.tag = slot.tag;
  io.result = result;
  if (!options_.user_copy) {
    io.addr = reinterpret_cast<std::uintptr_t>(slot.data);
  } else if (command == abi::kCommitAndFetchReq && slot.op == BlockOp::kZoneAppend && result >= 0) {
    io.addr = slot.lba * (options_.limits.block_size_bytes / abi::kSectorBytes);
  }
  std::memcpy(sqe->cmd, &io, sizeof(io));
}

void UblkQueue::on_kernel(RingOp& op, std::int32_t result, std::uint32_t) {
  auto& slot = static_cast<Slot&>(op);
  slot.owner->take(slot, result);
}

void UblkQueue::take(Slot& slot, std::int32_t result) {
  CHECK(slot.state == State::kFetching || slot.state == State::kCommitting);
  if (result != abi::kResultOk) {
    take_back(slot, result);
    return;
  }
  slot.state = State::kInFlight;
  ready_[ready_count_++] = slot.tag;
  options_.shard->reactor().request_feed(*this);
}

void UblkQueue::take_back(Slot& slot, std::int32_t result) {
  slot.state = State::kIdle;
  tags_out_--;
  // A tag that comes back while nobody stops the device is lost for it.
  if (!watched_) {
    report_failure(result < 0 ? -result : EPROTO);
  }
  report_if_idle();
}

void UblkQueue::feed() {
  if (holding_) {
    return;
  }
  // begin() may complete requests at once, but never adds to ready_: that takes a CQE.
  for (unsigned i = 0; i < ready_count_; i++) {
    begin(slots_[ready_[i]]);
  }
  ready_count_ = 0;
}

void UblkQueue::begin(Slot& slot) {
  int error = refusing_ ? EIO : decode(descriptors_.at(slot.tag), options_.limits, slot);
  if (error == 0 && options_.user_copy && !take_data(slot)) {
    error = EIO;
  }
  if (error != 0) {
    refuse(slot, error);
    return;
  }
  slot.error = 0;
  counters_.in_flight.add();
  options_.back_end->submit(slot);
}

void UblkQueue::refuse(Slot& slot, int error) {
  counters_.errors.add();
  if (!refusing_ && limiter_.allow(options_.shard->reactor().now())) {
    const abi::IoDescriptor descriptor = descriptors_.at(slot.tag);
    log_warning("ublk", options_.name + ": refused a request with operation " +
                            std::to_string(descriptor.op_flags & abi::kOpMask) + ", sector " +
                            std::to_string(descriptor.start_sector) + ", " +
                            std::to_string(descriptor.nr_sectors) +
                            " sectors: " + std::strerror(error));
  }
  commit(slot, result_of_error(error));
}

void UblkQueue::on_done(BlockRequest& request) {
  auto& slot = static_cast<Slot&>(request);
  UblkQueue& self = *slot.owner;
  self.counters_.in_flight.subtract();
  self.count(slot);
  if (slot.error != 0) {
    self.commit(slot, result_of_error(slot.error));
    self.report_if_drained();
    return;
  }
  self.commit(slot, self.result_of(slot));
  self.report_if_drained();
}

std::int32_t UblkQueue::result_of(Slot& slot) {
  if (options_.user_copy && !give_data(slot)) {
    return -EIO;
  }
  if (slot.op == BlockOp::kZoneReport) {
    // The kernel takes more than it asked for as all of it, and asks again for the rest of less.
    return static_cast<std::int32_t>(options_.buffer_bytes);
  }
  return transfers_blocks(slot.op)
             ? static_cast<std::int32_t>(slot.blocks * options_.limits.block_size_bytes)
             : 0;
}

bool UblkQueue::take_data(Slot& slot) {
  if (slot.op != BlockOp::kWrite && slot.op != BlockOp::kZoneAppend) {
    return true;
  }
  const std::size_t length = std::size_t{slot.blocks} * options_.limits.block_size_bytes;
  return copy_from_request({options_.char_fd, options_.queue_id, slot.tag}, {slot.data, length});
}

bool UblkQueue::give_data(Slot& slot) {
  std::size_t length = std::size_t{slot.blocks} * options_.limits.block_size_bytes;
  if (slot.op == BlockOp::kZoneReport) {
    length = encode_zones({slot.data, options_.buffer_bytes}, slot.blocks,
                          options_.limits.block_size_bytes, options_.limits.zone_blocks);
  } else if (slot.op != BlockOp::kRead) {
    return true;
  }
  return copy_to_request({options_.char_fd, options_.queue_id, slot.tag}, {slot.data, length});
}

void UblkQueue::count(const Slot& slot) {
  if (slot.error != 0) {
    counters_.errors.add();
    return;
  }
  const std::uint64_t bytes = std::uint64_t{slot.blocks} * options_.limits.block_size_bytes;
  switch (slot.op) {
    case BlockOp::kRead:
      counters_.reads.add();
      counters_.read_bytes.add(bytes);
      break;
    case BlockOp::kWrite:
    case BlockOp::kZoneAppend:
      counters_.writes.add();
      counters_.write_bytes.add(bytes);
      break;
    case BlockOp::kFlush:
      counters_.flushes.add();
      break;
    case BlockOp::kDiscard:
      counters_.discards.add();
      break;
    case BlockOp::kWriteZeroes:
      counters_.write_zeroes.add();
      break;
    case BlockOp::kZoneReport:
    case BlockOp::kZoneOpen:
    case BlockOp::kZoneClose:
    case BlockOp::kZoneFinish:
    case BlockOp::kZoneReset:
    case BlockOp::kZoneResetAll:
      break;
  }
}

void UblkQueue::commit(Slot& slot, std::int32_t result) {
  CHECK(slot.state == State::kInFlight);
  slot.state = State::kCommitting;
  send(slot, abi::kCommitAndFetchReq, result);
}

void UblkQueue::report_failure(int error) {
  if (failed_message_.posted) {
    return;
  }
  failed_message_.posted = true;
  failed_message_.error = error;
  events_.control->reactor().post(failed_message_);
}

void UblkQueue::report_if_idle() {
  if (watched_ && tags_out_ == 0 && !idle_message_.posted) {
    idle_message_.posted = true;
    options_.shard->reactor().cancel_feed(*this);
    options_.shard->reactor().dma_catalog().remove(buffers_entry_);
    events_.control->reactor().post(idle_message_);
  }
}

void UblkQueue::add_statistics(BlockExportStatistics& sum) const {
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

}  // namespace nvublk::ublk
