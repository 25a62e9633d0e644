#pragma once

// What the running kernel's io_uring offers.

#include <string>
#include <vector>

#include "engine/error.h"

namespace nvublk::service {

struct IoUringFeatures {
  std::vector<std::string> features;  ///< the kernel's names without IORING_FEAT_
  std::vector<std::string> ops;       ///< the kernel's names without IORING_OP_, in lower case
};

/// Makes a ring and asks it.
Result<IoUringFeatures> probe_io_uring();

}  // namespace nvublk::service
