#pragma once

// How the command line shows a failure: one line that says what failed, at which step, and what to
// try; and the same for scripts.

#include <string>
#include <string_view>

#include "engine/error.h"
#include "service/json.h"

namespace nvublk::service {

/// "nvublk: COMMAND: what failed (step: ...); what to try", without a newline.
std::string error_line(std::string_view command, const Error& error);

/// {"error":{"message","step","code"}}.
Json error_json(const Error& error);

/// `target` as the daemon knows it: a path is followed to the device it is a link to, such as one
/// below /dev/disk.
std::string resolve_device_link(const std::string& target);

}  // namespace nvublk::service
