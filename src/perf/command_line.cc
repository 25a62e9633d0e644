#include <cstring>
#include <iostream>

#include <CLI/CLI.hpp>

#include "engine/cpus.h"
#include "perf/options.h"

namespace nvublk::perf {

namespace {

constexpr char kExamples[] = R"(Examples:
  nvublk-perf -q 32 -o 4096 -w randread -t 10 -r "trtype:TCP traddr:192.0.2.1 subnqn:NQN"
  nvublk-perf -q 128 -o 128K -w rw -M 70 -t 60 -c 0x3 -P 2 -L -r nvme+tcp://192.0.2.1:4420/NQN
  nvublk-perf -q 8 -o 4096 -w randwrite -d 100000 --verify --json -r nvme+tcp://127.0.0.1/NQN
Patterns that write destroy what is on the namespaces.
)";

/// Passes what `parse` makes of an option's text to `store`.
template <typename Parse, typename Store>
CLI::Option* add_parsed(CLI::App& app, const char* names, const char* help, Parse parse,
                        Store store) {
  return app.add_option_function<std::string>(
      names,
      [parse, store, name = std::string(names, std::strcspn(names, ","))](const std::string& text) {
        auto value = parse(text);
        if (!value) throw CLI::ValidationError(name, value.error().text);
        store(std::move(*value));
      },
      help);
}

void add_workload(CLI::App& app, Options& options) {
  app.add_option("-q,--io-depth", options.depth, "I/Os under way on each queue pair")->required();
  add_parsed(app, "-o,--io-size", "size of an I/O in bytes; K, M and G multiply", parse_size,
             [&options](std::uint32_t size) { options.io_size_bytes = size; })
      ->required();
  add_parsed(app, "-w,--io-pattern", "read, write, randread, randwrite, rw or randrw",
             parse_pattern, [&options](Pattern pattern) { options.pattern = pattern; })
      ->required();
  app.add_option("-M,--rwmixread", options.read_percent, "percentage of reads of rw and randrw")
      ->capture_default_str();
  app.add_option_function<unsigned>(
      "-t,--time", [&options](unsigned time) { options.time = seconds(time); },
      "how long to measure, in seconds");
  app.add_option_function<unsigned>(
      "-a,--warmup-time", [&options](unsigned time) { options.warmup = seconds(time); },
      "seconds before that, not measured");
  app.add_option(
      "-d,--number-ios", options.number_ios,
      "end after so many I/Os on each namespace and core, if the time does not end first");
  app.add_flag("--verify", options.verify,
               "check what is read, and after the run all that was written");
}

void add_places(CLI::App& app, Options& options) {
  add_parsed(
      app, "-r,--transport",
      "a transport id in SPDK's form or as a URI, repeatable; a discovery NQN or none: all "
      "that is found there; ns:N in it: that namespace only (default: all local drives that are "
      "bound to vfio-pci)",
      [](const std::string& text) { return nvme::parse_transport_id(text); },
      [&options](nvme::ParsedTransportId id) { options.targets.push_back(std::move(id)); })
      ->trigger_on_parse();
  add_parsed(app, "-c,--core-mask", "CPUs to run on: a mask (0x3) or a list ([0,2-3])", parse_cores,
             [&options](std::vector<int> cores) { options.cores = std::move(cores); })
      ->default_str("the first that can be used");
  app.add_option("-P,--num-qpairs", options.queue_pairs, "queue pairs for each namespace and core")
      ->capture_default_str();
  app.add_option("-m,--max-completions", options.max_completions,
                 "completions of a queue pair in one poll; 0: all")
      ->capture_default_str();
  app.add_option("--hostnqn", options.hostnqn, "the host NQN (default: a random one)");
  app.add_option_function<unsigned>(
         "-k,--keepalive", [&options](unsigned time) { options.keep_alive = milliseconds(time); },
         "keep alive timeout in milliseconds; 0: none")
      ->default_str("10000");
  keys::add_key_options(app, options.keys);
  app.add_flag("-H,--enable-tcp-hdgst", options.header_digest, "header digests over TCP");
  app.add_flag("-I,--enable-tcp-ddgst", options.data_digest, "data digests over TCP");
}

int misused(const std::string& text) {
  std::cerr << "nvublk-perf: " << text << "; see 'nvublk-perf --help'\n";
  return 2;
}

}  // namespace

int parse_command_line(int argc, char** argv, Options& options) {
  CLI::App app{"Measures NVMe namespaces through the library, without the kernel's block layer",
               "nvublk-perf"};
  if (const std::vector<int> cpus = usable_cpus(); !cpus.empty()) {
    options.cores = {cpus.front()};
  }
  app.footer(kExamples);
  add_workload(app, options);
  add_places(app, options);
  app.add_flag("-L,--enable-sw-latency-tracking", options.latency,
               "print latency percentiles; twice: also the whole distribution");
  app.add_flag("--json", options.json, "print one JSON object instead of tables");
  app.add_option("-Q,--continue-on-error", options.continue_on_error,
                 "do not stop at an error; report every so many of them");
  app.set_version_flag("--version", "nvublk-perf " NVUBLK_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    return app.exit(asked);
  } catch (const CLI::Error& error) {
    return misused(error.what());
  }
  if (const Status good = check(options); !good) {
    return misused(good.error().text);
  }
  return -1;
}

}  // namespace nvublk::perf
