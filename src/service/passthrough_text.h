#pragma once

// Passthrough commands as text. Pure.

#include <cstdint>
#include <string>

#include "service/json.h"

namespace nvublk::service {

/// The fields of a command, from the parameters of its method; `data_bytes` is how much it moves.
std::string show_command_text(const Json& params, std::size_t data_bytes);
/// "Identify", "Flush"; "Unknown" for opcodes that are not defined.
std::string command_name_text(bool io, std::uint8_t opcode);

}  // namespace nvublk::service
