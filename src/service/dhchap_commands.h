#pragma once

// The commands gen-dhchap-key and check-dhchap-key, which need no daemon. Their options are
// nvme-cli's.

#include <optional>
#include <string>

#include "engine/error.h"
#include "service/json.h"

namespace CLI {
class App;
}

namespace nvublk::service {

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
