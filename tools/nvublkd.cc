// nvublkd: the daemon. See nvublkd(8).

#include <exception>
#include <iostream>
#include <map>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "service/daemon.h"
#include "service/process_guard.h"
#include "service/socket_path.h"
#include "service/version.h"

namespace {

using nvublk::IdleMode;
using nvublk::LogLevel;

const std::map<std::string, IdleMode> kModes = {{"busy", IdleMode::kBusy},
                                                {"adaptive", IdleMode::kAdaptive},
                                                {"interrupt", IdleMode::kInterrupt}};
const std::map<std::string, LogLevel> kLevels = {{"debug", LogLevel::kDebug},
                                                 {"info", LogLevel::kInfo},
                                                 {"warning", LogLevel::kWarning},
                                                 {"error", LogLevel::kError}};

/// What CLI11 fills in besides the options themselves.
struct Words {
  std::string mode = "adaptive";
  std::string log_level = "info";
  std::optional<unsigned> spin_us;
  unsigned stop_timeout_s = 10;
  bool guard = false;
};

void add_options(CLI::App& app, nvublk::service::DaemonOptions& options, Words& words) {
  app.add_option("--socket", options.socket_path,
                 "Where to listen (default: $NVUBLK_SOCKET, or /run/nvublk/nvublk.sock)")
      ->type_name("PATH");
  app.add_option("--run-dir", options.run_directory,
                 "Directory for the daemon's files (default: /run/nvublk, or the socket's path "
                 "with .d after it)")
      ->type_name("PATH");
  app.add_option("--shards", options.shards.io_shards,
                 "I/O threads (default: one per CPU, at most 8)")
      ->type_name("N")
      ->check(CLI::Range(1, 256));
  app.add_option("--mode", words.mode,
                 "What idle I/O threads do: busy, adaptive or interrupt (default: adaptive)")
      ->type_name("MODE")
      ->check(CLI::IsMember({"busy", "adaptive", "interrupt"}));
  app.add_option(
         "--spin-us", words.spin_us,
         "adaptive: microseconds to go on polling for an application's next request, at most; five "
         "times as many for a device's answer (default: by what waking up costs here, 50 to 1000)")
      ->type_name("N")
      ->check(CLI::Range(0, 1000000));
  app.add_option("--log-level", words.log_level, "debug, info, warning or error (default: info)")
      ->type_name("LEVEL")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  app.add_option("--stop-timeout", words.stop_timeout_s,
                 "Seconds to wait at the end for devices in use before they are taken away by "
                 "force (default: 10)")
      ->type_name("S")
      ->check(CLI::Range(0, 86400));
  app.add_flag("--takeover", options.take_over,
               "Replace the daemon that serves the socket: its ublk devices stay, and go on here");
  app.add_flag(
      "--guard", words.guard,
      "As --takeover, and leave a process behind that starts the daemon again when it dies, "
      "all from memory; with SIGHUP that replaces the daemon");
  app.add_option("--ready-fd", options.ready_fd)->group("");
}

}  // namespace

int main(int argc, char** argv) {
  nvublk::service::DaemonOptions options;
  options.socket_path = nvublk::service::default_socket_path();
  Words words;
  try {
    CLI::App app("nvublkd keeps the block devices that nvublk attaches.", "nvublkd");
    add_options(app, options, words);
    app.set_version_flag("--version", std::string("nvublkd ") + nvublk::service::version());
    try {
      app.parse(argc, argv);
    } catch (const CLI::Success& asked) {
      return app.exit(asked);
    } catch (const CLI::Error& error) {
      std::cerr << "nvublkd: " << error.what() << "; see 'nvublkd --help'\n";
      return 2;
    }
    options.shards.mode = kModes.at(words.mode);
    options.log_level = kLevels.at(words.log_level);
    if (words.spin_us) {
      options.shards.spin = nvublk::microseconds(*words.spin_us);
    }
    options.stop_timeout = nvublk::seconds(words.stop_timeout_s);
    options.socket_path = nvublk::service::absolute_path(options.socket_path);
    if (options.run_directory.empty()) {
      options.run_directory = nvublk::service::run_directory_of(options.socket_path);
    }
    options.run_directory = nvublk::service::absolute_path(options.run_directory);
    if (words.guard) {
      options.take_over = true;
      options.follow_root = true;
      if (const std::optional<int> status =
              nvublk::service::ProcessGuard::run(argv, options.log_level, options.ready_fd)) {
        return *status;
      }
    }
    return nvublk::service::Daemon::run(options);
  } catch (const std::exception& error) {
    std::cerr << "nvublkd: " << error.what() << '\n';
    return 1;
  }
}
