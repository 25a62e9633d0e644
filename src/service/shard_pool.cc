#include "service/shard_pool.h"

#include <algorithm>
#include <string>

#include "engine/cpus.h"
#include "engine/wake_time.h"

namespace nvublk::service {

namespace {

constexpr unsigned kMaxDefaultShards = 8;
/// The id of the control shard; I/O shards count from 0.
constexpr unsigned kControlShardId = ~0U;

}  // namespace

std::vector<ShardPlace> place_shards(unsigned count, IdleMode mode, std::span<const int> usable,
                                     std::vector<NumaNode> nodes) {
  for (NumaNode& node : nodes) {
    std::erase_if(node.cpus,
                  [&](int cpu) { return std::ranges::find(usable, cpu) == usable.end(); });
  }
  std::erase_if(nodes, [](const NumaNode& node) { return node.cpus.empty(); });
  if (nodes.empty()) {
    nodes.push_back({kNoNumaNode, {usable.begin(), usable.end()}});
  }
  std::vector<ShardPlace> places;
  for (unsigned i = 0; i < count; i++) {
    const NumaNode& node = nodes[i % nodes.size()];
    ShardPlace place{.cpus = {}, .numa_node = node.id};
    if (mode == IdleMode::kBusy && !node.cpus.empty()) {
      place.cpus = {node.cpus[i / nodes.size() % node.cpus.size()]};
    } else if (nodes.size() > 1) {
      place.cpus = node.cpus;
    }
    places.push_back(std::move(place));
  }
  return places;
}

Result<std::unique_ptr<ShardPool>> ShardPool::start(const Options& options) {
  const std::vector<int> cpus = usable_cpus();
  auto pool = std::make_unique<ShardPool>();
  Shard::Options control;
  control.id = kControlShardId;
  control.name = "nvublkd";
  control.reactor.mode = IdleMode::kInterrupt;
  control.reactor.ring.sqe128 = true;
  auto adopted = Shard::adopt_current_thread(control);
  if (!adopted) {
    return std::unexpected(std::move(adopted.error()));
  }
  pool->control_ = std::move(*adopted);
  const unsigned count = options.io_shards != 0 ? options.io_shards
                                                : std::clamp(static_cast<unsigned>(cpus.size()), 1U,
                                                             kMaxDefaultShards);
  Duration spin = options.spin.value_or(Duration::zero());
  if (options.mode == IdleMode::kAdaptive && !options.spin) {
    spin = spin_for(measure_wake_time());
  }
  for (ShardPlace& place : place_shards(count, options.mode, cpus, numa_nodes())) {
    Shard::Options io;
    io.id = static_cast<unsigned>(pool->io_.size());
    io.cpus = std::move(place.cpus);
    io.numa_node = place.numa_node;
    io.name = "nvublk-io" + std::to_string(io.id);
    io.reactor.mode = options.mode;
    io.reactor.spin = spin;
    auto shard = Shard::start(io);
    if (!shard) {
      return std::unexpected(std::move(shard.error()));
    }
    pool->io_.push_back(std::move(*shard));
  }
  return pool;
}

ShardSet ShardPool::set() const {
  ShardSet set;
  set.control = control_.get();
  for (const auto& shard : io_) {
    set.io.push_back(shard.get());
  }
  return set;
}

}  // namespace nvublk::service
