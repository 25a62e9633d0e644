#pragma once

// Registers of a device that was pulled out raise SIGBUS. Where a range is guarded the handler puts
// memory of all ones in its place, which is what reads of a device that is gone give otherwise, and
// the thread goes on. Thread-safe.

#include <cstddef>

namespace nvublk::nvme::pcie {

class BarGuard {
 public:
  /// `length_bytes` mapped at `memory`, page aligned; installs the handler of the process. False
  /// if there are as many guards as there can be.
  static bool add(void* memory, std::size_t length_bytes);
  /// Before the range is unmapped.
  static void remove(void* memory);
};

}  // namespace nvublk::nvme::pcie
