#pragma once

// The commands gen-tls-key and check-tls-key, which need no daemon. Their options are nvme-cli's.

#include <string>

#include "engine/error.h"
#include "service/json.h"

namespace CLI {
class App;
}

namespace nvublk::service {

struct TlsCommandLine {
  std::string secret;             ///< gen: in hexadecimal; empty: at random
  unsigned hmac = 1;              ///< gen: 1 or 2
  std::string key;                ///< check
  std::string hostnqn;            ///< whose identity is shown; empty: the machine's
  std::string subnqn;             ///< for which subsystem; empty: no identity is shown
  unsigned identity_version = 0;  ///< of that, 0 or 1
};

void add_tls_commands(CLI::App& app, TlsCommandLine& line);

/// {"key"}, and with a subsystem "identity"; `machine_nqn` is for that.
Result<Json> generate_tls_key(const TlsCommandLine& line, const std::string& machine_nqn);
/// {"hmac", "length", "crc"}, and with a subsystem "identity"; the error says what is wrong with
/// the key, without showing it.
Result<Json> check_tls_key(const TlsCommandLine& line, const std::string& machine_nqn);

}  // namespace nvublk::service
