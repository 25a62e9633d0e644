#pragma once

// The keys of DH-HMAC-CHAP as options of attach and discover, and the commands gen-dhchap-key and
// check-dhchap-key, which need no daemon. All options are nvme-cli's.

#include <optional>
#include <string>

#include "engine/error.h"
#include "nvme/controller_options.h"
#include "service/json.h"

namespace CLI {
class App;
}

namespace nvublk::service {

/// As they were typed.
struct DhchapSecrets {
  std::string host;
  std::string controller;
};

void add_dhchap_options(CLI::App& app, DhchapSecrets& secrets);
/// The error does not have them in it.
Status read_dhchap_keys(const DhchapSecrets& secrets, nvme::ControllerOptions& options);

struct DhchapCommandLine {
  std::string secret;                 ///< gen: in hexadecimal; empty: at random
  std::optional<unsigned> key_bytes;  ///< gen: of the secret
  std::string nqn;                    ///< gen: the host's that the key is for
  unsigned hmac = 0;                  ///< gen: 0 to 3
  std::string key;                    ///< check
};

void add_dhchap_commands(CLI::App& app, DhchapCommandLine& line);

/// {"key"}.
Result<Json> generate_dhchap_key(const DhchapCommandLine& line, const std::string& machine_nqn);
/// {"hmac", "length", "crc"}; the error says what is wrong with the key, without showing it.
Result<Json> check_dhchap_key(const DhchapCommandLine& line);

}  // namespace nvublk::service
