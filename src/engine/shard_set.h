#pragma once

#include <vector>

namespace nvublk {

class Shard;

/// The threads that a controller or a front-end may use. Immutable after construction.
struct ShardSet {
  Shard* control = nullptr;  ///< for connecting, recovery and admin commands
  /// For I/O. Front-ends have all of them, and io[i]->id() == i; back-ends have those that are
  /// theirs.
  std::vector<Shard*> io;
};

}  // namespace nvublk
