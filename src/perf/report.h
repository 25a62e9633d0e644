#pragma once

// What a run came to, as tables like those of SPDK's perf, or as one JSON object.

#include <string>
#include <vector>

#include "perf/worker.h"

namespace nvublk::perf {

/// The jobs of one namespace on one core.
struct ReportRow {
  std::string device;
  std::uint32_t nsid = 0;
  std::string subnqn;
  int core = 0;
  unsigned queue_pairs = 0;
  JobResult result;
};

/// Puts the jobs of a namespace on a core together, in the order in which they come.
std::vector<ReportRow> make_rows(const std::vector<Worker::Outcome>& outcomes);

std::string text_report(const Options& options, const std::vector<ReportRow>& rows);
std::string json_report(const Options& options, const std::vector<ReportRow>& rows);

}  // namespace nvublk::perf
