#pragma once

// Waits for an eventfd through the ring: one read, asked for when its owner is about to sleep.
// Shard-affine.

#include <cstdint>

#include "engine/reactor.h"

namespace nvublk::nvme::pcie {

class EventWait {
 public:
  using Event = void (*)(void* context);

  /// `fired`, which may be null, runs when the event has come; the wait is not armed then.
  EventWait(Reactor& reactor, Event fired, void* context);
  /// Not armed.
  ~EventWait();
  EventWait(const EventWait&) = delete;
  EventWait& operator=(const EventWait&) = delete;

  bool armed() const { return armed_; }
  /// Has the ring read `fd`, an eventfd that stays open until this is not armed.
  void arm(int fd);
  /// `closed` runs once nothing is armed, never from within this call; nothing fires any more.
  void close(Event closed);

 private:
  struct ReadOp : RingOp {
    EventWait* owner = nullptr;
  };
  void on_read();

  Reactor& reactor_;
  const Event fired_;
  void* const context_;
  Event closed_ = nullptr;
  ReadOp op_;
  int fd_ = -1;
  std::uint64_t value_ = 0;
  bool armed_ = false;
  Deferred idle_;
};

}  // namespace nvublk::nvme::pcie
