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
  /// Runs on the shard; the timer is not armed any more, and may be armed again.
  using Fire = void (*)(Timer& timer, void* context);
  /// `context` is what `fire` gets.
  Timer(Fire fire, void* context) : fire_(fire), context_(context) {}

  /// Whether it is going to fire.
  bool armed() const { return linked(); }
  /// For when it was armed last.
  Instant deadline() const { return deadline_; }

 private:
  friend class TimerQueue;
  Fire fire_;
  void* context_;
  Instant deadline_ = kNever;
};

/// The timers of one shard. Shard-affine.
class TimerQueue {
 public:
  /// Arms `timer` for `deadline`, moving it if it was armed.
  void arm(Timer& timer, Instant deadline);
  /// Harmless if it was not armed.
  void cancel(Timer& timer);
  /// Fires what is due at `now`; returns how many.
  unsigned fire(Instant now);
  /// When the next timer is due, kNever if there is none.
  Instant next_deadline();

 private:
  IntrusiveList<Timer, TimerTag> timers_;
};

}  // namespace nvublk
