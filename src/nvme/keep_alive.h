#pragma once

// Keep Alive: a command at half of the granted time, so that the controller knows that we are there
// and we know that it is. [Base 2.1 §3.9] A connection that has gone silent is found out within the
// granted time: the command has half of it, too. Only where other commands are answered meanwhile,
// it may take all of it. Shard-affine to the admin queue's shard.

#include <cstdint>

#include "nvme/queue_pair.h"

namespace nvublk::nvme {

class KeepAlive {
 public:
  /// How many commands the controller has answered so far, on all queues.
  using Answered = std::uint64_t (*)(const void* context);

  KeepAlive(QueuePair& admin_queue, Answered answered, const void* context);
  ~KeepAlive() { stop(); }

  /// `timeout` is the controller's: a command goes out at half of it; 0 sends nothing. One that
  /// gets no answer within `patience` closes the queue; if that is no longer than the timeout, so
  /// does half a timeout more in which no command is answered. Harmless when it runs with these
  /// already.
  void start(milliseconds timeout, Duration patience);
  void stop();

 private:
  void on_timer();

  QueuePair& admin_queue_;
  const Answered answered_;
  const void* answered_context_;
  std::uint64_t answered_before_ = 0;  ///< when the command that is outstanding was sent
  milliseconds timeout_{0};
  Duration patience_{0};
  bool outstanding_ = false;
  Timer timer_;
};

}  // namespace nvublk::nvme
