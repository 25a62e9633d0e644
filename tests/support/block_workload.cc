#include "support/block_workload.h"

#include <cstring>
#include <utility>

#include "engine/check.h"

namespace nvublk::test {

BlockWorkload::BlockWorkload(Shard& shard, BlockQueue& queue, const BlockGeometry& geometry,
                             const Options& options)
    : shard_(shard),
      queue_(queue),
      geometry_(geometry),
      options_(options),
      slots_(options.depth),
      versions_(options.span_blocks / options.blocks_per_request, kUnknown),
      unit_busy_(versions_.size(), 0),
      state_(options.seed * 0x9e3779b97f4a7c15ull + 1),
      refill_([](Deferred&, void* self) { static_cast<BlockWorkload*>(self)->fill(); }, this) {
  CHECK(versions_.size() > options.depth);
  const std::size_t slot_bytes =
      std::size_t{options.blocks_per_request} * geometry.block_size_bytes;
  auto memory = DmaRegion::allocate(slots_.size() * slot_bytes);
  CHECK(memory.has_value());
  memory_ = std::move(*memory);
  for (std::size_t i = 0; i < slots_.size(); i++) {
    Slot& slot = slots_[i];
    slot.owner = this;
    slot.data = memory_.data() + i * slot_bytes;
    slot.done = [](BlockRequest& request) {
      auto& ended = static_cast<Slot&>(request);
      ended.owner->ended(ended);
    };
  }
}

BlockWorkload::~BlockWorkload() {
  CHECK(completed_ == started_);
}

void BlockWorkload::start() {
  // The message is freed after it ran, so it only leads to the first fill().
  shard_.post([this] {
    shard_.reactor().dma_catalog().add(memory_entry_);
    shard_.reactor().defer(refill_);
  });
}

std::uint64_t BlockWorkload::random() {
  state_ ^= state_ << 13;
  state_ ^= state_ >> 7;
  state_ ^= state_ << 17;
  return state_;
}

void BlockWorkload::fill() {
  // The first requests bring memory that a device may have to be told of.
  Shard::seal_current_thread(options_.seal && started_ > 0);
  for (Slot& slot : slots_) {
    if (!slot.busy && started_ < options_.operations && !begin(slot)) {
      break;
    }
  }
  if (completed_ == options_.operations) {
    Shard::seal_current_thread(false);
    shard_.reactor().dma_catalog().remove(memory_entry_);
    finished_.store(true, std::memory_order_release);
  }
}

bool BlockWorkload::begin(Slot& slot) {
  std::uint64_t unit = random() % versions_.size();
  while (unit_busy_[unit] != 0) {
    unit = (unit + 1) % versions_.size();
  }
  unit_busy_[unit] = 1;
  slot.busy = true;
  slot.unit = unit;
  slot.lba = options_.first_lba + unit * options_.blocks_per_request;
  slot.blocks = options_.blocks_per_request;
  slot.fua = false;
  slot.no_unmap = false;
  const std::uint64_t dice = random() % 100;
  if (options_.mixed && dice < 3) {
    slot.op = BlockOp::kFlush;
  } else if (options_.mixed && dice < 6 && geometry_.max_discard_blocks >= slot.blocks) {
    slot.op = BlockOp::kDiscard;
  } else if (options_.mixed && dice < 9 && geometry_.max_write_zeroes_blocks >= slot.blocks) {
    slot.op = BlockOp::kWriteZeroes;
    slot.no_unmap = dice == 8;
  } else if (dice < 55) {
    slot.op = BlockOp::kWrite;
    slot.fua = options_.mixed && dice < 15;
    slot.version = next_version_++;
    stamp(slot, slot.version);
  } else {
    slot.op = BlockOp::kRead;
    std::memset(slot.data, 0x5a, std::size_t{slot.blocks} * geometry_.block_size_bytes);
  }
  started_++;
  queue_.submit(slot);
  return true;
}

// Every 8 bytes say which unit and which version they belong to, and where they are in it.
void BlockWorkload::stamp(Slot& slot, std::uint32_t version) {
  const std::size_t words = std::size_t{slot.blocks} * geometry_.block_size_bytes / 8;
  for (std::size_t i = 0; i < words; i++) {
    const std::uint64_t word = (slot.unit << 48) ^ (std::uint64_t{version} << 16) ^ i;
    std::memcpy(slot.data + i * 8, &word, 8);
  }
}

bool BlockWorkload::matches(const Slot& slot) const {
  const std::uint32_t version = versions_[slot.unit];
  if (version == kUnknown) {
    return true;
  }
  const std::size_t words = std::size_t{slot.blocks} * geometry_.block_size_bytes / 8;
  for (std::size_t i = 0; i < words; i++) {
    const std::uint64_t expected =
        version == 0 ? 0 : (slot.unit << 48) ^ (std::uint64_t{version} << 16) ^ i;
    if (std::memcmp(slot.data + i * 8, &expected, 8) != 0) {
      return false;
    }
  }
  return true;
}

void BlockWorkload::ended(Slot& slot) {
  if (slot.error != 0) {
    errors_++;
    versions_[slot.unit] = kUnknown;
  } else if (slot.op == BlockOp::kWrite) {
    versions_[slot.unit] = slot.version;
  } else if (slot.op == BlockOp::kWriteZeroes) {
    versions_[slot.unit] = 0;
  } else if (slot.op == BlockOp::kDiscard) {
    versions_[slot.unit] = kUnknown;
  } else if (slot.op == BlockOp::kRead && !matches(slot)) {
    mismatches_++;
  }
  unit_busy_[slot.unit] = 0;
  slot.busy = false;
  completed_++;
  shard_.reactor().defer(refill_);
}

}  // namespace nvublk::test
