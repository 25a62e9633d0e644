#pragma once

// The root directory of process 1. What was started in an initial RAM disk and outlives it is left
// with the empty rest of that, without /run and /dev, unless it goes after process 1.

#include "engine/fd.h"

namespace nvublk::service {

class SystemRoot {
 public:
  /// To be made while /proc is within reach.
  SystemRoot();
  /// The root directory of process 1, as it is now, becomes that of this process, and its working
  /// directory. What fails is logged; then all stays.
  void enter() const;

 private:
  UniqueFd process_1_;  ///< its directory in /proc
};

}  // namespace nvublk::service
