#pragma once

// What a controller needs of the connection that carries one of its queues.

#include <cstdint>

#include "nvme/spec/status.h"

namespace nvublk::target {

/// Thread-safe: the connection does it on its own worker, later.
class QueueOwner {
 public:
  virtual ~QueueOwner() = default;
  /// Completes a command that was held.
  virtual void complete_held(std::uint16_t cid, std::uint32_t result,
                             nvme::spec::NvmeStatus status) = 0;
  /// Closes the connection.
  virtual void close_later() = 0;
};

}  // namespace nvublk::target
