#include "service/shard_placement.h"

#include <algorithm>
#include <tuple>

#include "engine/check.h"
#include "engine/shard.h"

namespace nvublk::service {

void ShardLoad::add(unsigned shard_id) {
  if (shard_id >= queues_.size()) {
    queues_.resize(shard_id + 1);
  }
  queues_[shard_id]++;
}

void ShardLoad::remove(unsigned shard_id) {
  CHECK(queues(shard_id) > 0);
  queues_[shard_id]--;
}

ShardPlacement::ShardPlacement(const ShardSet& all, ShardLoad& load, int numa_node, unsigned queues)
    : shards_(all), load_(load) {
  const auto near = [numa_node](const Shard* shard) {
    return numa_node != kNoNumaNode && shard->numa_node() == numa_node;
  };
  std::size_t count = queues;
  if (queues == 0) {
    const auto there = static_cast<std::size_t>(std::ranges::count_if(all.io, near));
    count = there != 0 ? there : all.io.size();
  }
  std::ranges::sort(shards_.io, {}, [&](const Shard* shard) {
    return std::tuple(!near(shard), load.queues(shard->id()), shard->id());
  });
  shards_.io.resize(std::min(count, all.io.size()));
  for (const Shard* shard : shards_.io) {
    load_.add(shard->id());
  }
}

ShardPlacement::~ShardPlacement() {
  for (const Shard* shard : shards_.io) {
    load_.remove(shard->id());
  }
}

}  // namespace nvublk::service
