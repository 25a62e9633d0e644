#pragma once

// The commands for keys of both kinds, as one: those of authentication (DH-HMAC-CHAP), and those of
// TLS.

#include <string>

#include "service/dhchap_commands.h"
#include "service/tls_commands.h"

namespace nvublk::service {

/// What makes and checks keys.
struct KeyCommandLine {
  DhchapCommandLine dhchap;
  TlsCommandLine tls;
};

void add_key_commands(CLI::App& app, KeyCommandLine& line);

/// For people: of what makes a key, and of what checks one.
std::string generated_key_text(const Json& report);
std::string checked_key_text(const Json& report);

}  // namespace nvublk::service
