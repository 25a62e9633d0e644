#pragma once

// What nvublk-perf is asked to do.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/time.h"
#include "keys/key_options.h"
#include "nvme/transport_id.h"

namespace nvublk::perf {

/// In which order blocks are visited, and what is done to them.
enum class Pattern : std::uint8_t { kRead, kWrite, kRandRead, kRandWrite, kRw, kRandRw };

struct Options {
  std::vector<nvme::ParsedTransportId> targets;  ///< none: all local drives that vfio-pci has
  unsigned depth = 0;                            ///< I/Os under way on each queue pair
  std::uint32_t io_size_bytes = 0;               ///< of each I/O
  Pattern pattern = Pattern::kRead;
  unsigned read_percent = 50;    ///< of mixed patterns
  seconds time{0};               ///< how long to measure; 0: until number_ios
  seconds warmup{0};             ///< before that, not measured
  std::uint64_t number_ios = 0;  ///< of each job, then it ends; 0: until `time`
  std::vector<int> cores{0};     ///< CPUs, one thread on each
  unsigned queue_pairs = 1;      ///< for each namespace and thread
  unsigned latency = 0;          ///< 1: percentiles, 2: also the whole distribution
  unsigned max_completions = 0;  ///< callbacks of a queue pair in one poll; 0: all
  bool json = false;
  bool verify = false;
  unsigned continue_on_error = 0;  ///< go on; report every so many failures; 0: stop at the first
  bool header_digest = false;
  bool data_digest = false;
  milliseconds keep_alive{10000};
  keys::KeyOptions keys;
  std::string hostnqn;  ///< of targets that name none; empty: a random one

  bool random() const {
    return pattern == Pattern::kRandRead || pattern == Pattern::kRandWrite ||
           pattern == Pattern::kRandRw;
  }
  /// How many of 100 I/Os are reads.
  unsigned reads() const;
};

/// "read", "write", "randread", "randwrite", "rw" or "randrw".
Result<Pattern> parse_pattern(std::string_view text);
std::string_view pattern_name(Pattern pattern);
/// CPUs: a list in brackets ("[0,2-3]"), else a mask in hexadecimal ("0x5").
Result<std::vector<int>> parse_cores(std::string_view text);
/// Bytes, with K, M or G for powers of 1024.
Result<std::uint32_t> parse_size(std::string_view text);

/// Whether it all fits together.
Status check(const Options& options);

/// Reads the command line. -1: go on; else the status to exit with, and what there is to say has
/// been printed.
int parse_command_line(int argc, char** argv, Options& options);

}  // namespace nvublk::perf
