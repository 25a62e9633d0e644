#pragma once

// Watches for memory allocation on live shards: a program that links nvublk_allocation_guard has
// its operator new replaced, which counts what threads sealed with Shard::seal_current_thread
// allocate. What calls malloc directly is not seen, except under sanitizers.

#include <cstdint>

#include "engine/shard.h"

namespace nvublk::test {

/// What sealed threads have allocated so far. Any thread.
std::uint64_t sealed_allocations();

/// Whether calls of malloc are counted, too, such as those of libraries in C: under sanitizers.
bool allocation_guard_counts_malloc();

/// Whether an allocation on a sealed thread aborts the program, so that a debugger or a core dump
/// shows who did it; otherwise it is only counted, which is the default.
void abort_on_sealed_allocation(bool abort);

/// Seals the calling thread while it lives.
class SealedScope {
 public:
  SealedScope() { Shard::seal_current_thread(true); }
  ~SealedScope() { Shard::seal_current_thread(false); }
  SealedScope(const SealedScope&) = delete;
  SealedScope& operator=(const SealedScope&) = delete;
};

}  // namespace nvublk::test
