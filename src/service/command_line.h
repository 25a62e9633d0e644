#pragma once

// The options of nvublk, as words in and as values out. Runs nothing, prints nothing.

#include <expected>
#include <string>
#include <vector>

#include "service/attach_request.h"
#include "service/json.h"
#include "service/key_commands.h"
#include "service/verb_options.h"

namespace nvublk::service {

enum class CommandKind : std::uint8_t {
  kAttach,
  kCheckDhchapKey,
  kCheckTlsKey,
  kDetach,
  kDiscover,
  kList,
  kStatus,
  kRecover,
  kFeatures,
  kGenDhchapKey,
  kGenTlsKey,
  kSet,
  kPciList,
  kPciBind,
  kPciUnbind,
  kVersion,
  kVerb,  ///< one of nvme-cli's commands on a controller
};

struct CommandLine {
  CommandKind kind = CommandKind::kList;
  std::string name;  ///< of the command, as it is typed
  std::string socket_path;
  bool json = false;
  AttachRequest attach;   ///< kAttach, kDiscover; its address may be a host name yet
  bool raw = false;       ///< kDiscover: the log as bytes
  std::string raw_file;   ///< kDiscover: where those go; empty: standard output
  bool discover = false;  ///< kAttach: all that a discovery subsystem lists
  VerbLine verb;          ///< kVerb
  KeyCommandLine keys;    ///< kGenDhchapKey, kCheckDhchapKey, kGenTlsKey, kCheckTlsKey
  /// kDetach, kSet, kStatus: a device's path or name, a controller, NQN; kPci...: an address
  std::string target;
  Json settings;            ///< kSet: the members of the policy that change
  bool all = false;         ///< kDetach
  bool force = false;       ///< kDetach
  bool keep_bound = false;  ///< kDetach
  bool dry_run = false;     ///< kRecover: report only
};

/// Why there is nothing to run.
struct CommandLineEnd {
  int status = 0;       ///< 0: help was asked for; 2: wrong usage
  std::string command;  ///< the command that was recognised, or empty
  std::string text;     ///< the help, or one line that says what is wrong
  bool json = false;
};

/// `words` are argv without the program's name.
std::expected<CommandLine, CommandLineEnd> parse_command_line(std::vector<std::string> words);

}  // namespace nvublk::service
