#pragma once

// The back-end of a device that has none any more: every request fails with EIO, so that nobody
// waits for ever. It has the size and the blocks that its disk was made with, and limits that fit
// any disk.

#include <memory>
#include <vector>

#include "engine/block.h"
#include "engine/block_export.h"

namespace nvublk::service {

class FailingDevice final : public BlockDevice {
 public:
  FailingDevice(const ShardSet& shards, std::uint64_t size_bytes, std::uint32_t block_size_bytes);

  const BlockGeometry& geometry() const override { return geometry_; }
  unsigned queue_count() const override { return static_cast<unsigned>(shards_.size()); }
  unsigned queue_shard(unsigned index) const override { return shards_[index]; }
  BlockQueue& queue(unsigned) override { return queue_; }

 private:
  /// Has no state, so that all shards can share it.
  class Queue final : public BlockQueue {
   public:
    void submit(BlockRequest& request) override;
  };

  BlockGeometry geometry_;
  std::vector<unsigned> shards_;
  Queue queue_;
};

}  // namespace nvublk::service
