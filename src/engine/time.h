#pragma once

#include <chrono>
#include <cstdint>

namespace nvublk {

/// The monotonic clock; everything that waits or measures uses it. Pure machines get the time as an
/// argument instead of asking for it.
using Clock = std::chrono::steady_clock;
/// A point of that clock.
using Instant = Clock::time_point;
/// A length of time, in the clock's unit (nanoseconds); a number of another unit says which.
using Duration = Clock::duration;

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kNever = Instant::max();  ///< later than anything

/// `delay` after `start`; kNever where the clock would overflow, so Duration::max() means for ever.
constexpr Instant instant_after(Instant start, Duration delay) {
  return delay >= kNever - start ? kNever : start + delay;
}

/// Whole milliseconds from `from` to `to`, 0 if that is negative.
constexpr std::uint64_t milliseconds_between(Instant from, Instant to) {
  return to <= from ? 0
                    : static_cast<std::uint64_t>(
                          std::chrono::duration_cast<milliseconds>(to - from).count());
}

}  // namespace nvublk
