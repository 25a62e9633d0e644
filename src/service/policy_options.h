#pragma once

// The options of attach that say how long a controller may not answer, and what happens then.

#include <optional>
#include <string>

#include "nvme/controller_options.h"

namespace CLI {
class App;
}

namespace nvublk::service {

/// As they were typed; times are in seconds.
struct PolicyWords {
  std::optional<long> keep_alive_s;
  std::optional<long> reconnect_delay_s;
  long ctrl_loss_s = 600;
  long fast_io_fail_s = -1;
  long io_timeout_s = 30;
  long admin_timeout_s = 15;
  std::string timeout_action = "reset";
};

/// The keep alive timeout alone; `usual`: the default, for people.
void add_keep_alive_option(CLI::App& app, PolicyWords& words, const char* usual);
/// All of them.
void add_policy_options(CLI::App& app, PolicyWords& words);
/// `words.keep_alive_s` is set.
void finish_policy(const PolicyWords& words, nvme::ControllerOptions& options);

}  // namespace nvublk::service
