#pragma once

// Keys of DH-HMAC-CHAP as this target's options have them. [Base 2.3 §8.3.5.5.8]

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "nvme/spec/authentication.h"

namespace nvublk::target {

struct DhchapKey {
  std::vector<std::uint8_t> secret;
  std::uint8_t hash = 0;  ///< 0: the secret is used as it is

  /// Reads "DHHC-1:HH:BASE64:".
  static Result<DhchapKey> parse(std::string_view text);
};

/// How one host authenticates itself.
struct DhchapHostOptions {
  std::string hostnqn;
  DhchapKey key;
  DhchapKey ctrl_key;  ///< without a secret: the controller does not authenticate itself
};

/// What this target wants, if a host offers it; else the first that the host offers.
struct DhchapPreference {
  nvme::spec::DhchapHash hash = nvme::spec::DhchapHash::kSha256;
  nvme::spec::DhchapGroup group = nvme::spec::DhchapGroup::kNull;
};

/// "sha256", "sha384", "sha512".
Result<nvme::spec::DhchapHash> parse_dhchap_hash(std::string_view name);
/// "null", "ffdhe2048", ...
Result<nvme::spec::DhchapGroup> parse_dhchap_group(std::string_view name);
/// Reads "HOSTNQN=DHHC-1:...".
Result<std::pair<std::string, DhchapKey>> parse_host_key(std::string_view text);

}  // namespace nvublk::target
