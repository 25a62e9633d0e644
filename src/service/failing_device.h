#pragma once

// The back-end of a device that has none: every request fails with EIO, so that nobody waits for
// ever. It has the size and the blocks that its disk was made with, and limits that fit any disk.
// Where the disk comes back, the requests go there from then on.

#include <functional>
#include <memory>
#include <vector>

#include "engine/block.h"
#include "engine/error.h"
#include "engine/shard_set.h"

namespace nvublk::service {

class FailingDevice final : public BlockDevice {
 public:
  /// It has one queue on each I/O shard of `shards`.
  FailingDevice(const ShardSet& shards, std::uint64_t size_bytes, std::uint32_t block_size_bytes);

  const BlockGeometry& geometry() const override { return geometry_; }
  unsigned queue_count() const override { return static_cast<unsigned>(queues_->size()); }
  unsigned queue_shard(unsigned index) const override;
  BlockQueue& queue(unsigned index) override { return (*queues_)[index]; }

  /// On the control shard: hands requests to `disk` from now on, which outlives this object. An
  /// error, and nothing is changed, if `disk` has no queue on one of the shards.
  Status become(BlockDevice& disk);

 private:
  /// Shard-affine, like any.
  class Queue final : public BlockQueue {
   public:
    explicit Queue(Shard& shard) : shard_(&shard) {}
    void submit(BlockRequest& request) override;
    Shard& shard() const { return *shard_; }
    void set_next(BlockQueue& next) { next_ = &next; }

   private:
    Shard* shard_;
    BlockQueue* next_ = nullptr;
  };

  BlockGeometry geometry_;
  /// Shared with what become() has posted: this object may be gone when that runs.
  const std::shared_ptr<std::vector<Queue>> queues_ = std::make_shared<std::vector<Queue>>();
};

}  // namespace nvublk::service
