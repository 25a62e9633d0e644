#pragma once

// The daemon's threads: the control shard, which is the calling thread, and the I/O shards.

#include <memory>
#include <vector>

#include "engine/block_export.h"
#include "engine/shard.h"

namespace nvublk::service {

class ShardPool {
 public:
  struct Options {
    unsigned io_shards = 0;  ///< 0: one per CPU that we may use, at most 8
    IdleMode mode = IdleMode::kAdaptive;
    Duration spin = microseconds(50);
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
