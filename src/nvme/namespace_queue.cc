#include "nvme/namespace_queue.h"

#include <cerrno>
#include <cstring>

#include "nvme/command.h"
#include "nvme/spec/dsm.h"

namespace nvublk::nvme {

namespace {

constexpr std::uint32_t kIoChecks =
    command::kIoCheckGuard | command::kIoCheckReferenceTag | command::kIoCheckApplicationTag;

}  // namespace

bool NamespaceQueue::valid(const BlockRequest& request) const {
  if (request.op == BlockOp::kFlush) {
    return true;
  }
  if (request.op > BlockOp::kWriteZeroes) {
    return valid_for_zones(request);
  }
  if (request.blocks == 0 || request.lba >= geometry_.size_blocks ||
      request.blocks > geometry_.size_blocks - request.lba) {
    return false;
  }
  switch (request.op) {
    case BlockOp::kRead:
    case BlockOp::kWrite:
      return request.blocks <= geometry_.max_transfer_bytes / geometry_.block_size_bytes;
    case BlockOp::kDiscard:
      return request.blocks <= geometry_.max_discard_blocks;
    case BlockOp::kWriteZeroes:
      return request.blocks <= geometry_.max_write_zeroes_blocks;
    default:
      return false;
  }
}

void NamespaceQueue::submit(BlockRequest& request) {
  request.queue = this;
  if (retired_error_ != 0 || !valid(request)) {
    request.error = retired_error_ != 0 ? retired_error_ : EINVAL;
    request.done(request);
    return;
  }
  queue_pair_.submit_block(request);
}

void NamespaceQueue::retire(int error_number) {
  queue_pair_.shard().post([this, error_number] {
    retired_error_ = error_number;
    queue_pair_.fail_retired();
  });
}

void NamespaceQueue::abandon(int error_number) {
  queue_pair_.shard().post([this, error_number] {
    retired_error_ = error_number;
    queue_pair_.abandon_retired();
  });
}

// [NVM 1.1 §5.3.1, §5.3.2]
void NamespaceQueue::set_reference_tag(const BlockRequest& block, Request& request) const {
  command::set_protection_tags(request.sqe,
                               {.reference_tag = static_cast<std::uint32_t>(block.lba)});
}

void NamespaceQueue::build(const BlockRequest& block, Request& request) const {
  const std::uint32_t fua = block.fua ? command::kIoForceUnitAccess : 0;
  const std::uint32_t flags = fua | protection_.io_flags;
  request.set_no_data();
  switch (block.op) {
    case BlockOp::kRead:
      request.sqe = command::read(nsid_, block.lba, block.blocks, flags);
      request.set_data(block.data, block.blocks * geometry_.block_size_bytes);
      protect(block, request);
      return;
    case BlockOp::kWrite:
      request.sqe = command::write(nsid_, block.lba, block.blocks, flags);
      request.set_data(block.data, block.blocks * geometry_.block_size_bytes);
      protect(block, request);
      return;
    case BlockOp::kFlush:
      request.sqe = command::flush(nsid_);
      return;
    case BlockOp::kDiscard: {
      request.sqe = command::dataset_management(nsid_, 1, spec::kDsmDeallocate);
      spec::DsmRange range;
      range.nlb = block.blocks;
      range.slba = block.lba;
      static_assert(sizeof(range) == sizeof(request.small));
      std::memcpy(request.small.data(), &range, sizeof(range));
      request.set_data(request.small.data(), sizeof(range));
      return;
    }
    case BlockOp::kWriteZeroes:
      // There is nothing to check: only the action counts.
      request.sqe = command::write_zeroes(nsid_, block.lba, block.blocks, !block.no_unmap,
                                          flags & ~kIoChecks);
      protect(block, request);
      return;
    default:
      build_zoned(block, request);
      return;
  }
}

}  // namespace nvublk::nvme
