#include "perf/options.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "engine/cpus.h"
#include "engine/numa.h"

namespace nvublk::perf {

namespace {

struct PatternRow {
  Pattern pattern;
  std::string_view name;
  int reads;  // of 100; -1: as the user says
};
constexpr PatternRow kPatterns[] = {
    {Pattern::kRead, "read", 100},
    {Pattern::kWrite, "write", 0},
    {Pattern::kRandRead, "randread", 100},
    {Pattern::kRandWrite, "randwrite", 0},
    {Pattern::kRw, "rw", -1},
    {Pattern::kRandRw, "randrw", -1},
};

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

std::optional<std::uint64_t> number(std::string_view text, int base = 10) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  return error == std::errc{} && stop == end && !text.empty() ? std::optional(value) : std::nullopt;
}

void add_mask(std::string_view text, std::vector<int>& cores) {
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
  }
  const auto mask = number(text, 16);
  for (int core = 0; mask && core < 64; core++) {
    if ((*mask >> core & 1) != 0) {
      cores.push_back(core);
    }
  }
}

/// Whether all that is attached can have the keys; without targets that is local drives.
Status check_keys(const Options& options) {
  nvme::ControllerOptions read;
  if (Status right = keys::read_keys(options.keys, read); !right) {
    return right;
  }
  if (options.targets.empty()) {
    return keys::check_keys(read, nvme::Trtype::kPcie);
  }
  for (const nvme::ParsedTransportId& target : options.targets) {
    if (Status right = keys::check_keys(read, target.id.trtype); !right) {
      return right;
    }
  }
  return {};
}

}  // namespace

unsigned Options::reads() const {
  const auto* row = std::ranges::find(kPatterns, pattern, &PatternRow::pattern);
  return row->reads < 0 ? read_percent : static_cast<unsigned>(row->reads);
}

Result<Pattern> parse_pattern(std::string_view text) {
  const auto* row = std::ranges::find(kPatterns, text, &PatternRow::name);
  if (row == std::end(kPatterns)) {
    return fail(ErrorCode::kInvalidArgument,
                "the pattern " + quoted(text) +
                    " is not known; the patterns are read, write, randread, randwrite, rw and "
                    "randrw");
  }
  return row->pattern;
}

std::string_view pattern_name(Pattern pattern) {
  return std::ranges::find(kPatterns, pattern, &PatternRow::pattern)->name;
}

Result<std::vector<int>> parse_cores(std::string_view text) {
  std::vector<int> cores;
  const bool list = text.starts_with('[') && text.ends_with(']') && text.size() > 2;
  if (list) {
    cores = parse_cpu_list(text.substr(1, text.size() - 2));
  } else {
    add_mask(text, cores);
  }
  if (cores.empty()) {
    return fail(
        ErrorCode::kInvalidArgument,
        quoted(text) + " names no CPUs; write a mask such as 0x3, or a list such as [0,2-3]");
  }
  std::ranges::sort(cores);
  cores.erase(std::unique(cores.begin(), cores.end()), cores.end());
  return cores;
}

Result<std::uint32_t> parse_size(std::string_view text) {
  constexpr std::string_view kUnits = "KkMmGg";
  std::string_view digits = text;
  unsigned shift = 0;
  const std::size_t unit = text.empty() ? std::string_view::npos : kUnits.find(text.back());
  if (unit != std::string_view::npos) {
    shift = static_cast<unsigned>(unit / 2 + 1) * 10;
    digits.remove_suffix(1);
  }
  const auto value = number(digits);
  if (!value || *value == 0 || *value > (std::numeric_limits<std::uint32_t>::max() >> shift)) {
    return fail(ErrorCode::kInvalidArgument,
                quoted(text) + " is not a size below 4G; write bytes, or a number with K, M or G");
  }
  return static_cast<std::uint32_t>(*value << shift);
}

Status check(const Options& options) {
  const auto refuse = [](const char* text) { return fail(ErrorCode::kInvalidArgument, text); };
  if (options.depth == 0 || options.depth > 4096) {
    return refuse("the queue depth (-q) is a number from 1 to 4096");
  }
  if (options.io_size_bytes == 0) {
    return refuse("the size of an I/O (-o) is missing");
  }
  if (options.read_percent > 100) {
    return refuse("the share of reads (-M) is a number from 0 to 100");
  }
  if (options.time.count() <= 0 && options.number_ios == 0) {
    return refuse("it would never end; give a time (-t) or a number of I/Os (-d)");
  }
  if (options.queue_pairs == 0 || options.queue_pairs > 256) {
    return refuse("the number of queue pairs (-P) is a number from 1 to 256");
  }
  const std::vector<int> usable = usable_cpus();
  for (const int core : options.cores) {
    if (!usable.empty() && !std::ranges::binary_search(usable, core)) {
      return fail(
          ErrorCode::kInvalidArgument,
          "CPU " + std::to_string(core) + " (-c) does not exist, or is not for this process");
    }
  }
  return check_keys(options);
}

}  // namespace nvublk::perf
