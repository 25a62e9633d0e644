#include "service/dhchap_commands.h"

#include <cstdio>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "nvme/dhchap_key.h"
#include "nvme/nqn.h"
#include "service/command_examples.h"
#include "service/hex_text.h"

namespace nvublk::service {

namespace {

using nvme::DhchapKey;
using nvme::spec::DhchapHash;

std::optional<DhchapHash> hash_of(unsigned hmac) {
  return hmac == 0 ? std::nullopt : std::optional(static_cast<DhchapHash>(hmac));
}

}  // namespace

void add_dhchap_commands(CLI::App& app, DhchapCommandLine& line) {
  CLI::App* generate =
      app.add_subcommand("gen-dhchap-key", "Make a key for authentication (DH-HMAC-CHAP)");
  generate
      ->add_option("-s,--secret", line.secret,
                   "Secret in hexadecimal digits that the key is made of (default: at random)")
      ->type_name("HEX");
  generate
      ->add_option("-l,--key-length", line.key_bytes,
                   "Bytes of the secret: 32, 48 or 64 (default: 32, or as --hmac and --secret say)")
      ->type_name("N")
      ->check(CLI::IsMember({32, 48, 64}));
  generate
      ->add_option("-n,--nqn", line.nqn,
                   "Host NQN that the key is transformed for (default: the machine's)")
      ->type_name("NQN");
  generate
      ->add_option("-m,--hmac", line.hmac,
                   "What transforms the key: 0 nothing, 1 SHA-256, 2 SHA-384, 3 SHA-512 "
                   "(default: 0)")
      ->type_name("N")
      ->check(CLI::Range(0, 3));
  generate->footer(kGenDhchapKeyExamples);
  CLI::App* check =
      app.add_subcommand("check-dhchap-key", "Say whether a key for authentication is sound");
  check->add_option("-k,--key", line.key, "The key, as DHHC-1:00:BASE64:")
      ->type_name("KEY")
      ->required();
  check->footer(kCheckDhchapKeyExamples);
}

Result<Json> generate_dhchap_key(const DhchapCommandLine& line, const std::string& machine_nqn) {
  const std::optional<DhchapHash> hash = hash_of(line.hmac);
  const std::string& nqn = line.nqn.empty() ? machine_nqn : line.nqn;
  if (hash) {
    if (Status usable = nvme::check_nqn_usable(nqn, "-n/--nqn"); !usable) {
      return std::unexpected(std::move(usable.error()));
    }
  }
  const std::size_t made_bytes = hash ? nvme::dhchap_hash_bytes(*hash) : 32;
  if (hash && line.key_bytes && *line.key_bytes != made_bytes) {
    return fail(ErrorCode::kInvalidArgument, "with --hmac " + std::to_string(line.hmac) +
                                                 " a key has " + std::to_string(made_bytes) +
                                                 " bytes; leave --key-length out");
  }
  Result<DhchapKey> key;
  if (line.secret.empty()) {
    key = DhchapKey::generate(line.key_bytes.value_or(made_bytes), hash, nqn);
  } else {
    const Result<std::vector<std::byte>> secret = from_hex(line.secret, "-s/--secret");
    if (!secret) {
      return std::unexpected(secret.error());
    }
    if (line.key_bytes && *line.key_bytes != secret->size()) {
      return fail(ErrorCode::kInvalidArgument,
                  "-s/--secret has " + std::to_string(secret->size()) + " bytes, not the " +
                      std::to_string(*line.key_bytes) + " of --key-length");
    }
    key = DhchapKey::make(*secret, hash);
    key = key ? key->transformed(nqn) : key;
  }
  if (!key) {
    return std::unexpected(std::move(key.error()));
  }
  return Json{{"key", key->text()}};
}

Result<Json> check_dhchap_key(const DhchapCommandLine& line) {
  const Result<DhchapKey> key = DhchapKey::parse(line.key);
  if (!key) {
    return std::unexpected(key.error());
  }
  const std::size_t bytes = key->secret().size();
  if (key->hash() && bytes != nvme::dhchap_hash_bytes(*key->hash())) {
    return fail(ErrorCode::kInvalidArgument, "a key of " + std::to_string(bytes) +
                                                 " bytes does not go with its hash, " +
                                                 std::string(nvme::dhchap_hash_name(*key->hash())));
  }
  char crc[9];
  std::snprintf(crc, sizeof(crc), "%08x", key->crc());
  Json report;
  report["hmac"] = key->hash() ? std::to_underlying(*key->hash()) : 0;
  report["length"] = bytes;
  report["crc"] = crc;
  return report;
}

}  // namespace nvublk::service
