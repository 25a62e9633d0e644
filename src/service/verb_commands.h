#pragma once

// Runs the commands of nvublk that are nvme-cli's: asks the daemon, reads and writes files, prints.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "service/command_line.h"
#include "service/rpc_client.h"

namespace nvublk::service {

/// Runs `line`, of kind kVerb, and prints what it says; or why it cannot.
Status run_verb_command(const CommandLine& line);

/// Writes bytes to the file `path`, which `option` named, or to standard output if it is empty.
Status write_output(const std::string& path, std::span<const std::byte> data, const char* option);

/// What "attach --discover" came to.
struct DiscoveredAttach {
  struct Failure {
    std::string subnqn;
    Error error;
  };
  Json devices = Json::array();  ///< as "list" has them
  std::vector<Failure> failures;
  bool some_attached = false;  ///< some subsystem is attached, now or since before

  /// {"devices":[...]}, with "errors":[{"subnqn","message","step","code"}] if there are any.
  Json report() const;
};

/// Attaches every I/O subsystem in the report of "discover", with the options of `request`: each
/// over the first of its addresses that can be reached, and not again what is attached.
DiscoveredAttach attach_discovered(const AttachRequest& request, const Json& log,
                                   RpcClient& client);

}  // namespace nvublk::service
