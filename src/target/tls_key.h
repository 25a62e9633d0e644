#pragma once

// The pre-shared key of TLS: read, and made what a host shares by the name that it gives. The
// initiator has code of its own for it. [TCP 1.1 §3.6.1.3]

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace nvublk::target {

/// What a host's identity says that it knows.
struct TlsShare {
  std::string hostnqn;
  std::string subnqn;
  std::vector<std::uint8_t> psk;
};

struct TlsKey {
  std::vector<std::uint8_t> secret;  ///< 32 or 48 bytes; none: no TLS
  std::uint8_t hash = 0;             ///< 0: the secret is the same for all hosts

  /// Reads "NVMeTLSkey-1:HH:BASE64:".
  static Result<TlsKey> parse(std::string_view text);

  bool empty() const { return secret.empty(); }
  /// "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384".
  const char* cipher() const;
  /// Nothing if the identity is none, or names another key.
  std::optional<TlsShare> share(std::string_view identity) const;
};

}  // namespace nvublk::target
