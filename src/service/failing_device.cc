#include "service/failing_device.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "engine/shard.h"

namespace nvublk::service {

FailingDevice::FailingDevice(const ShardSet& shards, std::uint64_t size_bytes,
                             std::uint32_t block_size_bytes) {
  constexpr std::uint32_t kAnyBytes = 1U << 30;
  geometry_.block_size_bytes = block_size_bytes;
  geometry_.physical_block_size_bytes = block_size_bytes;
  geometry_.size_blocks = size_bytes / block_size_bytes;
  geometry_.max_transfer_bytes = kAnyBytes;
  geometry_.max_discard_blocks = 0xffffffff;
  geometry_.max_write_zeroes_blocks = 0xffffffff;
  for (Shard* shard : shards.io) {
    queues_->emplace_back(*shard);
  }
}

unsigned FailingDevice::queue_shard(unsigned index) const {
  return (*queues_)[index].shard().id();
}

Status FailingDevice::become(BlockDevice& disk) {
  std::vector<BlockQueue*> next;
  for (const Queue& queue : *queues_) {
    for (unsigned i = 0; i < disk.queue_count(); i++) {
      if (disk.queue_shard(i) == queue.shard().id()) {
        next.push_back(&disk.queue(i));
        break;
      }
    }
  }
  if (next.size() != queues_->size()) {
    return fail(ErrorCode::kUnsupported, "the controller has queues for " +
                                             std::to_string(next.size()) + " of " +
                                             std::to_string(queues_->size()) + " threads now");
  }
  for (std::size_t i = 0; i < queues_->size(); i++) {
    (*queues_)[i].shard().post([queues = queues_, i, to = next[i]] { (*queues)[i].set_next(*to); });
  }
  return {};
}

void FailingDevice::Queue::submit(BlockRequest& request) {
  if (next_ != nullptr) {
    next_->submit(request);
    return;
  }
  request.error = EIO;
  request.done(request);
}

}  // namespace nvublk::service
