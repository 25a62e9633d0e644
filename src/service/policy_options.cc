#include "service/policy_options.h"

#include <algorithm>

#include <CLI/CLI.hpp>

namespace nvublk::service {

void add_keep_alive_option(CLI::App& app, PolicyWords& words, const char* usual) {
  app.add_option("-k,--keep-alive-tmo", words.keep_alive_s,
                 "Keep alive timeout in seconds, 0: none (default: " + std::string(usual) + ")")
      ->type_name("S")
      ->check(CLI::Range(0L, 4294967L));
}

void add_policy_options(CLI::App& app, PolicyWords& words) {
  constexpr long kMost = 0x7fffffff;
  constexpr long kDay = 86400;
  add_keep_alive_option(app, words, "5");
  app.add_option("-c,--reconnect-delay", words.reconnect_delay_s,
                 "Longest pause in seconds between attempts to reconnect (default: 10)")
      ->type_name("S")
      ->check(CLI::Range(1L, kMost));
  app.add_option("-l,--ctrl-loss-tmo", words.ctrl_loss_s,
                 "Seconds without a connection after which it is given up, -1: never, 0: do not "
                 "reconnect (default: 600)")
      ->type_name("S")
      ->check(CLI::Range(-1L, kMost));
  app.add_option("-F,--fast_io_fail_tmo,--fast-io-fail-tmo", words.fast_io_fail_s,
                 "Seconds without a connection after which I/O fails instead of waiting, -1: off "
                 "(default: -1)")
      ->type_name("S")
      ->check(CLI::Range(-1L, kMost));
  app.add_option("--io-timeout", words.io_timeout_s,
                 "Seconds that an I/O command may take (default: 30)")
      ->type_name("S")
      ->check(CLI::Range(1L, kDay));
  app.add_option("--admin-timeout", words.admin_timeout_s,
                 "Seconds that an admin command, or an abort, may take (default: 15)")
      ->type_name("S")
      ->check(CLI::Range(1L, kDay));
  app.add_option("--timeout-action", words.timeout_action,
                 "What becomes of an I/O command that takes longer: reset the controller, abort "
                 "it first, or none (default: reset)")
      ->type_name("ACTION")
      ->check(CLI::IsMember({"reset", "abort", "none"}));
}

void finish_policy(const PolicyWords& words, nvme::ControllerOptions& options) {
  options.keep_alive = seconds(*words.keep_alive_s);
  options.ctrl_loss_timeout = seconds(words.ctrl_loss_s);
  options.fast_io_fail_timeout = seconds(words.fast_io_fail_s);
  // The usual pause gives way to a user who does not want to wait that long at all.
  if (words.reconnect_delay_s) {
    options.reconnect_delay = seconds(*words.reconnect_delay_s);
  } else if (words.ctrl_loss_s > 0) {
    options.reconnect_delay = std::min(options.reconnect_delay, options.ctrl_loss_timeout);
  }
  options.io_timeout = seconds(words.io_timeout_s);
  options.admin_timeout = seconds(words.admin_timeout_s);
  options.timeout_action = nvme::timeout_action_from_name(words.timeout_action).value();
}

}  // namespace nvublk::service
