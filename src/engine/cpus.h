#pragma once

// Internal: which CPUs threads may run on.

#include <span>
#include <vector>

namespace nvublk {

/// The numbers of the CPUs that the calling thread may run on, ascending; empty if the kernel does
/// not say.
std::vector<int> usable_cpus();

/// Has the calling thread run on these CPUs only. One that is offline is no reason to fail: if none
/// is left, the thread runs where the kernel puts it.
void keep_current_thread_on(std::span<const int> cpus);

}  // namespace nvublk
