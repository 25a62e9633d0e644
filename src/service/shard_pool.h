#pragma once

// The daemon's threads: the control shard, which is the calling thread, and the I/O shards.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/numa.h"
#include "engine/shard.h"
#include "engine/shard_set.h"

namespace nvublk::service {

/// Where one I/O shard runs.
struct ShardPlace {
  std::vector<int> cpus;  ///< empty: wherever the scheduler puts it
  int numa_node = kNoNumaNode;
};

/// Places `count` shards on the CPUs of `usable`, one node after the other. One that never sleeps
/// gets a CPU; the others only keep to their node where there are several, since the scheduler
/// places threads that sleep better: beside whom they wake or are woken by, and not behind the
/// application that waits for them.
std::vector<ShardPlace> place_shards(unsigned count, IdleMode mode, std::span<const int> usable,
                                     std::vector<NumaNode> nodes);

class ShardPool {
 public:
  struct Options {
    unsigned io_shards = 0;  ///< 0: one per CPU that we may use, at most 8
    IdleMode mode = IdleMode::kAdaptive;
    std::optional<Duration> spin;  ///< without: by what a wake-up costs here
  };

  static Result<std::unique_ptr<ShardPool>> start(const Options& options);

  Shard& control() { return *control_; }
  ShardSet set() const;

 private:
  // Destroyed in reverse: the I/O shards may still post to the control shard.
  std::unique_ptr<Shard> control_;
  std::vector<std::unique_ptr<Shard>> io_;
};

}  // namespace nvublk::service
