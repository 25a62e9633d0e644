#pragma once

// CHECK: an invariant of our own code, also verified in release builds. A failure is a bug of ours:
// it prints where and aborts; user recovery of the block devices makes that survivable. Never used
// on anything that a device, a wire or a user supplies.

namespace nvublk {

/// Prints the condition and where it is, and aborts. What CHECK calls.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace nvublk

/// Aborts, in all builds, unless `condition` holds.
#define CHECK(condition)                                     \
  (__builtin_expect(!!(condition), 1) ? static_cast<void>(0) \
                                      : ::nvublk::check_failed(#condition, __FILE__, __LINE__))
