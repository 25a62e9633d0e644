#include "service/failing_device.h"

#include <cerrno>

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
  for (const Shard* shard : shards.io) {
    shards_.push_back(shard->id());
  }
}

void FailingDevice::Queue::submit(BlockRequest& request) {
  request.error = EIO;
  request.done(request);
}

}  // namespace nvublk::service
