#pragma once

#include "perf/options.h"

namespace nvublk::perf {

/// Attaches what is named, puts load on it, prints the report. Returns the status to exit with: 0;
/// 1 when something failed, could not be attached or was not what was written.
int run(const Options& options);

}  // namespace nvublk::perf
