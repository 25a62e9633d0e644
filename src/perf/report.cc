#include "perf/report.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace nvublk::perf {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kPercentiles{1.0,  10.0, 25.0, 50.0,  75.0,   90.0,    95.0,    98.0,
                                  99.0, 99.5, 99.9, 99.99, 99.999, 99.9999, 99.99999};

[[gnu::format(printf, 1, 2)]] std::string print(const char* format, ...) {
  std::array<char, 512> line{};
  va_list values;
  va_start(values, format);
  const int length = std::vsnprintf(line.data(), line.size(), format, values);
  va_end(values);
  return {line.data(), std::min(line.size() - 1, static_cast<std::size_t>(std::max(length, 0)))};
}

double per_second(const JobResult& result) {
  return result.elapsed_s > 0 ? static_cast<double>(result.ios()) / result.elapsed_s : 0;
}

double mib_per_second(const Options& options, const JobResult& result) {
  return per_second(result) * options.io_size_bytes / (1024 * 1024);
}

double us(std::uint64_t ns) {
  return static_cast<double>(ns) / 1000;
}

std::string from_core(const ReportRow& row) {
  return row.device + " from core " + std::to_string(row.core);
}

std::string result_line(const Options& options, const std::string& name, int width,
                        const JobResult& result) {
  return print("%-*s: %11.2f %10.2f %10.2f %10.2f %10.2f\n", width, name.c_str(),
               per_second(result), mib_per_second(options, result),
               result.latency.average_ns() / 1000, us(result.latency.min_ns()),
               us(result.latency.max_ns()));
}

JobResult total_of(const std::vector<ReportRow>& rows) {
  JobResult total;
  for (const ReportRow& row : rows) {
    total.add(row.result);
  }
  return total;
}

// Rows may have run for different times, so rates are added, not I/Os.
double total_per_second(const std::vector<ReportRow>& rows) {
  double sum = 0;
  for (const ReportRow& row : rows) {
    sum += per_second(row.result);
  }
  return sum;
}

std::string percentile_table(const ReportRow& row) {
  std::string text =
      "Summary latency data for " + from_core(row) + ":\n" + std::string(80, '=') + "\n";
  for (const double percent : kPercentiles) {
    text += print("%9.5f%% : %10.3fus\n", percent, us(row.result.latency.percentile_ns(percent)));
  }
  return text + "\n";
}

std::string distribution(const ReportRow& row) {
  std::string text = "Latency histogram for " + from_core(row) + ":\n" + std::string(80, '=') +
                     "\n       Range in us     Cumulative    IO count\n";
  const auto all = static_cast<double>(row.result.latency.count());
  row.result.latency.each([&](std::uint64_t begin, std::uint64_t end, std::uint64_t count,
                              std::uint64_t seen) {
    text += print("%9.3f - %9.3f: %9.4f%%  (%9llu)\n", us(begin), us(end),
                  static_cast<double>(seen) * 100 / all, static_cast<unsigned long long>(count));
  });
  return text + "\n";
}

std::string failures(const std::vector<ReportRow>& rows) {
  std::string text;
  for (const ReportRow& row : rows) {
    const JobResult& result = row.result;
    if (result.errors != 0 || result.verify_errors != 0) {
      text += print("%s: %llu errors, %llu I/Os with wrong contents; the first: ",
                    from_core(row).c_str(), static_cast<unsigned long long>(result.errors),
                    static_cast<unsigned long long>(result.verify_errors));
      text += result.first_error + "\n";
    }
  }
  return text;
}

Json latency_json(const Options& options, const Histogram& latency) {
  Json json{{"avg", latency.average_ns() / 1000},
            {"min", us(latency.min_ns())},
            {"max", us(latency.max_ns())}};
  if (options.latency > 0) {
    Json percentiles = Json::object();
    for (const double percent : kPercentiles) {
      percentiles[print("%.5f", percent)] = us(latency.percentile_ns(percent));
    }
    json["percentiles"] = percentiles;
  }
  if (options.latency > 1) {
    Json buckets = Json::array();
    latency.each(
        [&buckets](std::uint64_t begin, std::uint64_t end, std::uint64_t count, std::uint64_t) {
          buckets.push_back({{"from", us(begin)}, {"to", us(end)}, {"count", count}});
        });
    json["histogram"] = buckets;
  }
  return json;
}

Json result_json(const Options& options, const JobResult& result, double iops) {
  Json json{{"iops", iops},
            {"mib_per_s", iops * options.io_size_bytes / (1024 * 1024)},
            {"reads", result.reads},
            {"writes", result.writes},
            {"elapsed_s", result.elapsed_s},
            {"errors", result.errors},
            {"latency_us", latency_json(options, result.latency)}};
  if (options.verify) {
    json["verified"] = result.verified;
    json["verify_errors"] = result.verify_errors;
  }
  if (!result.first_error.empty()) {
    json["first_error"] = result.first_error;
  }
  return json;
}

}  // namespace

std::vector<ReportRow> make_rows(const std::vector<Worker::Outcome>& outcomes) {
  std::vector<ReportRow> rows;
  for (const Worker::Outcome& outcome : outcomes) {
    auto row = std::ranges::find_if(rows, [&outcome](const ReportRow& each) {
      return each.device == outcome.plan.device && each.core == outcome.plan.core;
    });
    if (row == rows.end()) {
      ReportRow made;
      made.device = outcome.plan.device;
      made.nsid = outcome.plan.subject->nsid();
      made.subnqn = outcome.plan.controller->options().transport.id.subnqn;
      made.core = outcome.plan.core;
      row = rows.insert(rows.end(), std::move(made));
    }
    row->queue_pairs++;
    row->result.add(outcome.result);
  }
  return rows;
}

std::string text_report(const Options& options, const std::vector<ReportRow>& rows) {
  std::size_t width = 40;
  for (const ReportRow& row : rows) {
    width = std::max(width, from_core(row).size());
  }
  const int column = static_cast<int>(width);
  const std::string rule(width + 57, '=');
  std::string text = rule + "\n" + print("%-*s  %45s\n", column, "", "Latency(us)");
  text += print("%-*s: %11s %10s %10s %10s %10s\n", column, "Device Information", "IOPS", "MiB/s",
                "Average", "min", "max");
  for (const ReportRow& row : rows) {
    text += result_line(options, from_core(row), column, row.result);
  }
  JobResult total = total_of(rows);
  if (const double iops = total_per_second(rows); iops > 0) {
    total.elapsed_s = static_cast<double>(total.ios()) / iops;
  }
  text += rule + "\n" + result_line(options, "Total", column, total) + "\n";
  for (const ReportRow& row : rows) {
    if (options.latency > 0) {
      text += percentile_table(row);
    }
    if (options.latency > 1) {
      text += distribution(row);
    }
  }
  if (options.verify) {
    text += print("Verified %llu I/Os, %llu with wrong contents\n",
                  static_cast<unsigned long long>(total.verified),
                  static_cast<unsigned long long>(total.verify_errors));
  }
  return text + failures(rows);
}

std::string json_report(const Options& options, const std::vector<ReportRow>& rows) {
  Json results = Json::array();
  for (const ReportRow& row : rows) {
    Json json{{"device", row.device},
              {"subnqn", row.subnqn},
              {"nsid", row.nsid},
              {"core", row.core},
              {"queue_pairs", row.queue_pairs}};
    json.update(result_json(options, row.result, per_second(row.result)));
    results.push_back(std::move(json));
  }
  const Json report{{"io_pattern", pattern_name(options.pattern)},
                    {"rwmixread", options.reads()},
                    {"io_size", options.io_size_bytes},
                    {"io_depth", options.depth},
                    {"results", results},
                    {"total", result_json(options, total_of(rows), total_per_second(rows))}};
  return report.dump(2) + "\n";
}

}  // namespace nvublk::perf
