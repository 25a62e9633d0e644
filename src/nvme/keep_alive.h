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

  /// `timeout` is the controller's: a command goes out at half of it; 0 sends nothing. One that
  /// gets no answer within `patience` closes the queue. Harmless when it runs with these already.
  void start(milliseconds timeout, Duration patience);
  void stop();

 private:
  void on_timer();

  QueuePair& admin_queue_;
  milliseconds timeout_{0};
  Duration patience_{0};
  bool outstanding_ = false;
  Timer timer_;
};

}  // namespace nvublk::nvme
