#pragma once

// What it costs here to sleep: microseconds on bare metal, a hundred and more in an emulated
// machine. How long polling may pay depends on it.

#include "engine/time.h"

namespace nvublk {

/// The time from waking a thread on another CPU to its first instruction: the median of some rounds
/// between two threads of its own. Takes milliseconds.
Duration measure_wake_time();

}  // namespace nvublk
