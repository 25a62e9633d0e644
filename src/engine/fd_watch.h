#pragma once

// Tells when a descriptor becomes readable, through the ring. Shard-affine.

#include "engine/reactor.h"

namespace nvublk {

class FdWatch {
 public:
  /// Runs in the completion phase; may stop() the watch.
  using Ready = void (*)(void* context);
  FdWatch(Reactor& reactor, Ready ready, void* context)
      : reactor_(reactor), ready_(ready), context_(context) {}
  ~FdWatch() { stop(); }
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

  /// `fd` stays open until stop(). `ready` runs again and again while there is something to read.
  void start(int fd);
  /// Nothing runs any more. What the ring still holds ends by itself.
  void stop();

 private:
  struct PollOp : RingOp {
    FdWatch* watch = nullptr;  // null: nobody watches any more
    bool waiting = false;
  };
  void wait();
  static void on_readable(RingOp& op, std::int32_t result, std::uint32_t flags);

  Reactor& reactor_;
  const Ready ready_;
  void* const context_;
  int fd_ = -1;
  PollOp* poll_ = nullptr;  // owned; by the ring once it is stopped while it waits
};

}  // namespace nvublk
