#pragma once

// The keys of authentication (DH-HMAC-CHAP) and of TLS as options of a command line. All of them
// are nvme-cli's, but --tls-identity-version.

#include <string>

#include "engine/error.h"
#include "nvme/controller_options.h"

namespace CLI {
class App;
}

namespace nvublk::keys {

/// As they were typed.
struct KeyOptions {
  std::string dhchap_secret;
  std::string dhchap_ctrl_secret;
  bool tls = false;
  std::string tls_key;
  unsigned tls_identity_version = 0;
};

void add_key_options(CLI::App& app, KeyOptions& typed);
/// The error does not have the keys in it.
Status read_keys(const KeyOptions& typed, nvme::ControllerOptions& options);
/// Whether connections over `trtype` can have the keys that `options` has.
Status check_keys(const nvme::ControllerOptions& options, nvme::Trtype trtype);

/// Overwrites all keys in a program's arguments: others see those as long as it runs, such as with
/// ps.
void hide_keys(int argc, char** argv);

}  // namespace nvublk::keys
