#include "service/tls_commands.h"

#include <cstdio>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "nvme/nqn.h"
#include "nvme/tls_key.h"
#include "service/command_examples.h"
#include "service/hex_text.h"

namespace nvublk::service {

namespace {

using nvme::TlsKey;
using nvme::spec::TlsHash;

void add_identity_options(CLI::App& app, TlsCommandLine& line) {
  app.add_option("-n,--hostnqn", line.hostnqn, "Host NQN of the identity (default: the machine's)")
      ->type_name("NQN");
  app.add_option("-c,--subsysnqn", line.subnqn,
                 "Show by which identity this subsystem is told of the key")
      ->type_name("SUBNQN");
  app.add_option("-I,--identity", line.identity_version,
                 "Version of the identity: 0, or 1 with a digest of the key (default: 0)")
      ->type_name("N")
      ->check(CLI::Range(0, 1));
}

/// Adds the identity to `report`, if one is asked for.
Status add_identity(const TlsCommandLine& line, const std::string& machine_nqn, const TlsKey& key,
                    Json& report) {
  if (line.subnqn.empty()) {
    return {};
  }
  const std::string& hostnqn = line.hostnqn.empty() ? machine_nqn : line.hostnqn;
  if (Status usable = nvme::check_nqn_usable(hostnqn, "-n/--hostnqn"); !usable) {
    return usable;
  }
  if (Status usable = nvme::check_nqn_usable(line.subnqn, "-c/--subsysnqn"); !usable) {
    return usable;
  }
  const auto psk = key.psk(hostnqn, line.subnqn, line.identity_version);
  if (!psk) {
    return std::unexpected(psk.error());
  }
  report["identity"] = psk->identity();
  return {};
}

}  // namespace

void add_tls_commands(CLI::App& app, TlsCommandLine& line) {
  CLI::App* generate = app.add_subcommand("gen-tls-key", "Make a key for TLS");
  generate
      ->add_option("-s,--secret", line.secret,
                   "Secret in hexadecimal digits that the key is made of (default: at random)")
      ->type_name("HEX");
  generate
      ->add_option("-m,--hmac", line.hmac,
                   "Its hash, and with that the cipher: 1 SHA-256, 2 SHA-384 (default: 1)")
      ->type_name("N")
      ->check(CLI::Range(1, 2));
  add_identity_options(*generate, line);
  generate->footer(kGenTlsKeyExamples);
  CLI::App* check = app.add_subcommand("check-tls-key", "Say whether a key for TLS is sound");
  check->add_option("-d,--keydata", line.key, "The key, as NVMeTLSkey-1:01:BASE64:")
      ->type_name("KEY")
      ->required();
  add_identity_options(*check, line);
  check->footer(kCheckTlsKeyExamples);
}

Result<Json> generate_tls_key(const TlsCommandLine& line, const std::string& machine_nqn) {
  const auto hash = static_cast<TlsHash>(line.hmac);
  Result<TlsKey> key;
  if (line.secret.empty()) {
    key = TlsKey::generate(hash);
  } else {
    const Result<std::vector<std::byte>> secret = from_hex(line.secret, "-s/--secret");
    if (!secret) {
      return std::unexpected(secret.error());
    }
    key = TlsKey::make(*secret, hash);
  }
  if (!key) {
    return std::unexpected(std::move(key.error()));
  }
  Json report;
  report["key"] = key->text();
  if (Status added = add_identity(line, machine_nqn, *key, report); !added) {
    return std::unexpected(std::move(added.error()));
  }
  return report;
}

Result<Json> check_tls_key(const TlsCommandLine& line, const std::string& machine_nqn) {
  const Result<TlsKey> key = TlsKey::parse(line.key);
  if (!key) {
    return std::unexpected(key.error());
  }
  char crc[9];
  std::snprintf(crc, sizeof(crc), "%08x", key->crc());
  Json report;
  report["hmac"] = key->hash() ? std::to_underlying(*key->hash()) : 0;
  report["length"] = key->secret().size();
  report["crc"] = crc;
  if (Status added = add_identity(line, machine_nqn, *key, report); !added) {
    return std::unexpected(std::move(added.error()));
  }
  return report;
}

}  // namespace nvublk::service
