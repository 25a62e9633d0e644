#pragma once

// The options of the commands that are nvme-cli's, as words in and as parameters of the JSON-RPC
// method of the same name out. Runs nothing, prints nothing.

#include <string>

#include "engine/error.h"
#include "service/json.h"

namespace CLI {
class App;
}

namespace nvublk::service {

/// What such a command is to do.
struct VerbLine {
  Json params = Json::object();  ///< but for the data that a command sends
  bool raw_binary = false;
  bool human_readable = false;
  std::string input_file;  ///< what a command sends is read from it, what it receives written to it
  std::string metadata_file;  ///< the same for metadata
  bool show_command = false;
  bool dry_run = false;
  bool latency = false;
  bool read = false;
  bool write = false;
};

/// Whether `command` is one of them.
bool is_verb(const std::string& command);
/// Whether `command` sends a command of the user's own.
bool is_passthrough(const std::string& command);

/// Adds all of them to `app`. `output` is -o's value.
void add_verbs(CLI::App& app, VerbLine& line, std::string& output);

/// Checks what belongs together, after parsing; `command` and `output` are what was typed.
Status finish_verb(const std::string& command, VerbLine& line, std::string& output);

}  // namespace nvublk::service
