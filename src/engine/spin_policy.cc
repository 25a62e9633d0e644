#include "engine/spin_policy.h"

#include <algorithm>

namespace nvublk {

// An application that waits is woken itself, works, and needs about as long again to ask for more:
// several wake-ups. What is beyond the bounds was measured at a bad moment.
Duration spin_for(Duration wake_time) {
  return std::clamp<Duration>(10 * wake_time, microseconds(50), milliseconds(1));
}

// Polling pays if it finds the next event before a sleep would have begun: when it did not, the
// time is better spent by whoever is to bring that event, on the same CPU maybe.
void SpinPolicy::Spin::learn(Duration quiet, Duration within) {
  const Duration step = limit / 8;
  if (quiet < within) {
    now = std::min(limit, now * 2 + step);
  } else {
    now = now < step ? Duration::zero() : now / 2;
  }
}

void SpinPolicy::before_sleep(unsigned in_flight) {
  slept_ = true;
  slept_in_flight_ = in_flight;
}

void SpinPolicy::after_sleep(Duration quiet) {
  if (!slept_) {
    return;
  }
  slept_ = false;
  if (slept_in_flight_ == 0) {
    idle_.learn(quiet, idle_.limit);
  } else {
    busy_.learn(quiet, busy_.limit / slept_in_flight_);
  }
}

}  // namespace nvublk
