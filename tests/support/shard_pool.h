#pragma once

// The shards of a little daemon for tests: the test's own thread is the control shard.

#include <functional>
#include <memory>
#include <vector>

#include "engine/shard.h"
#include "engine/shard_set.h"

namespace nvublk::test {

class ShardPool {
 public:
  explicit ShardPool(unsigned io_shards, IdleMode mode = IdleMode::kAdaptive);
  ~ShardPool();

  const ShardSet& shards() const { return set_; }
  Shard& control() { return *control_; }

  /// Turns the control shard until `done()` is true; false if that takes longer than `limit`, which
  /// is only there to turn a hang into a failure.
  bool run_until(const std::function<bool()>& done, Duration limit = seconds(120));
  /// Runs a shell command while the control shard turns; returns its exit status; a hang aborts.
  int run_command(const std::string& command, Duration limit = seconds(300));

 private:
  std::unique_ptr<Shard> control_;
  std::vector<std::unique_ptr<Shard>> io_;
  ShardSet set_;
};

}  // namespace nvublk::test
