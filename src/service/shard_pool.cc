#include "service/shard_pool.h"

#include <algorithm>
#include <string>

#include <sched.h>

namespace nvublk::service {

namespace {

constexpr unsigned kMaxDefaultShards = 8;
/// The id of the control shard; I/O shards count from 0.
constexpr unsigned kControlShardId = ~0U;

std::vector<int> usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
      if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) {
        cpus.push_back(cpu);
      }
    }
  }
  return cpus;
}

}  // namespace

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
  for (unsigned id = 0; id < count; id++) {
    Shard::Options io;
    io.id = id;
    // One that sleeps is better put by the scheduler: beside whom it wakes or is woken by, and not
    // behind the application that waits for it.
    if (options.mode == IdleMode::kBusy && !cpus.empty()) {
      io.cpu = cpus[id % cpus.size()];
    }
    io.name = "nvublk-io" + std::to_string(id);
    io.reactor.mode = options.mode;
    io.reactor.spin = options.spin;
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
