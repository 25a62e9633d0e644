#pragma once

// Internal: how long an adaptive shard polls before it sleeps. Polling finds an event sooner than
// an interrupt and a wake-up would bring it, at the price of the CPU; it pays where the event comes
// soon.

#include "engine/time.h"

namespace nvublk {

/// How long to poll, by the time that a wake-up takes (`measure_wake_time`).
Duration spin_for(Duration wake_time);

class SpinPolicy {
 public:
  /// `limit`: how long polling may go on when nothing is in flight.
  explicit SpinPolicy(Duration limit) : idle_(limit), busy_(kInFlightFactor * limit) {}

  /// Whether to go on polling `quiet` after the last event, with so many requests in flight.
  bool spin(Duration quiet, unsigned in_flight) const {
    return quiet < (in_flight == 0 ? idle_.now : busy_.now / in_flight);
  }
  /// The shard is about to sleep with so many requests in flight.
  void before_sleep(unsigned in_flight);
  /// It is awake, `quiet` after the last event before it slept; nothing if it did not sleep.
  void after_sleep(Duration quiet);

 private:
  // A device that has a request is known to answer; a front-end may have nothing to ask for long.
  static constexpr int kInFlightFactor = 5;

  // What pays now for one kind of event, up to `limit`.
  struct Spin {
    explicit Spin(Duration most) : limit(most), now(most) {}
    void learn(Duration quiet, Duration within);
    Duration limit;
    Duration now;
  };

  // When nothing is in flight: for a front-end's next request.
  Spin idle_;
  // For a device's answer, if there is one request; of several the first answer comes sooner in
  // proportion. If it does not, the requests are many enough to keep the device at work while the
  // shard sleeps and answers gather.
  Spin busy_;
  bool slept_ = false;
  unsigned slept_in_flight_ = 0;
};

}  // namespace nvublk
