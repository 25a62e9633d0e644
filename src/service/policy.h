#pragma once

// What becomes of a controller that does not answer: the options of "attach" and the settings of
// "set", as words, as JSON and as values. All times of it are whole seconds here.

#include <string>
#include <vector>

#include "nvme/controller_options.h"
#include "service/json.h"
#include "service/json_fields.h"

namespace nvublk::service {

/// Reads the members reconnect_delay, ctrl_loss_tmo, fast_io_fail_tmo, keep_alive_tmo, io_timeout,
/// admin_timeout and timeout_action; what is absent stays as it is in `options`.
void read_policy(JsonFields& fields, nvme::ControllerOptions& options);
/// The same members, all of them, added to `json`.
void write_policy(const nvme::ControllerOptions& options, Json& json);
/// For people: "ctrl-loss-tmo 600 s, ...".
std::string policy_text(const Json& policy);

/// Settings such as "ctrl-loss-tmo=-1" as such members; the error names what is wrong with them.
Result<Json> parse_settings(const std::vector<std::string>& words);
/// The names of all settings, as they are typed.
std::vector<std::string> setting_names();

}  // namespace nvublk::service
