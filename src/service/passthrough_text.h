#pragma once

// Passthrough commands as text. Pure.

#include <cstdint>
#include <string>

#include "service/json.h"

namespace nvublk::service {

/// The fields of a command as nvme-cli has them, from the parameters of its method. Its memory has
/// no addresses here, and what nvme-cli calls rsvd1 is not sent: these are 0.
std::string show_command_text(const Json& params);
/// "Identify", "Flush"; "Unknown" for opcodes that are not defined.
std::string command_name_text(bool io, std::uint8_t opcode);

}  // namespace nvublk::service
