#pragma once

// Timers of one reactor: intrusive, no allocation. A shard has tens of timers (per controller, not
// per I/O: commands are swept by their queue), so a sorted list is right.
// Shard-affine.

#include "engine/intrusive_list.h"
#include "engine/time.h"

namespace nvublk {

struct TimerTag;

/// A timer fires once, at or after its deadline; arm it again for another round.
class Timer : public ListHook<TimerTag> {
 public:
  using Fire = void (*)(Timer& timer, void* context);
  Timer(Fire fire, void* context) : fire_(fire), context_(context) {}

  bool armed() const { return linked(); }
  Instant deadline() const { return deadline_; }

 private:
  friend class TimerQueue;
  Fire fire_;
  void* context_;
  Instant deadline_ = kNever;
};

class TimerQueue {
 public:
  /// Arms `timer` for `deadline`, moving it if it was armed.
  void arm(Timer& timer, Instant deadline);
  void cancel(Timer& timer);
  /// Fires what is due at `now`; returns how many.
  unsigned fire(Instant now);
  /// When the next timer is due, kNever if there is none.
  Instant next_deadline();

 private:
  IntrusiveList<Timer, TimerTag> timers_;
};

}  // namespace nvublk
