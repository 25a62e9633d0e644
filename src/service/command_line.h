#pragma once

// The options of nvublk, as words in and as values out. Runs nothing, prints nothing.

#include <expected>
#include <string>
#include <vector>

#include "service/attach_request.h"

namespace nvublk::service {

enum class CommandKind : std::uint8_t { kAttach, kDetach, kList, kStatus, kFeatures, kVersion };

struct CommandLine {
  CommandKind kind = CommandKind::kList;
  std::string socket_path;
  bool json = false;
  AttachRequest attach;  ///< kAttach; its address may be a host name yet
  std::string target;    ///< kDetach, kStatus: a device's path or name, a controller, an NQN
  bool all = false;      ///< kDetach
  bool force = false;    ///< kDetach
};

/// Why there is nothing to run.
struct CommandLineEnd {
  int status = 0;       ///< 0: help was asked for; 2: wrong usage
  std::string command;  ///< the command that was recognised, or empty
  std::string text;     ///< the help, or one line that says what is wrong
  bool json = false;
};

/// The name of `kind` as it is typed.
const char* command_name(CommandKind kind);

/// `words` are argv without the program's name.
std::expected<CommandLine, CommandLineEnd> parse_command_line(std::vector<std::string> words);

}  // namespace nvublk::service
