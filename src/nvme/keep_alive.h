#pragma once

// Keep Alive: a command at half of the granted time, so that the controller knows that we are there
// and we know that it is. [Base 2.1 §3.9] Shard-affine to the admin queue's shard.

#include <cstdint>

#include "nvme/queue_pair.h"

namespace nvublk::nvme {

class KeepAlive {
 public:
  explicit KeepAlive(QueuePair& admin_queue);
  ~KeepAlive() { stop(); }

  /// `granted` is the controller's timeout; 0 sends nothing. A command that gets no answer within
  /// it closes the queue.
  void start(milliseconds granted);
  void stop();

 private:
  void on_timer();

  QueuePair& admin_queue_;
  milliseconds granted_{0};
  bool outstanding_ = false;
  Timer timer_;
};

}  // namespace nvublk::nvme
