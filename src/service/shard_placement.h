#pragma once

// Which I/O shards serve which controller: those near its device first, and of those the ones that
// have the fewest queues. Control-shard-affine.

#include <vector>

#include "engine/shard_set.h"

namespace nvublk::service {

/// How many queues of controllers each I/O shard has, by its id.
class ShardLoad {
 public:
  unsigned queues(unsigned shard_id) const {
    return shard_id < queues_.size() ? queues_[shard_id] : 0;
  }
  void add(unsigned shard_id);
  void remove(unsigned shard_id);

 private:
  std::vector<unsigned> queues_;
};

/// The shards of one controller, which count as taken as long as this lives.
class ShardPlacement {
 public:
  /// For a device on memory node `numa_node`. `queues` 0: one for each shard on that node, or for
  /// each shard there is if it has none.
  ShardPlacement(const ShardSet& all, ShardLoad& load, int numa_node, unsigned queues);
  ~ShardPlacement();
  ShardPlacement(const ShardPlacement&) = delete;
  ShardPlacement& operator=(const ShardPlacement&) = delete;

  /// `io` has one shard for each queue, in their order.
  const ShardSet& shards() const { return shards_; }

 private:
  ShardSet shards_;
  ShardLoad& load_;
};

}  // namespace nvublk::service
