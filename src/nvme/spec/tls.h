#pragma once

// TLS of NVMe/TCP: what pre-shared keys and the discovery log say of it.

#include <cstddef>
#include <cstdint>

namespace nvublk::nvme::spec {

/// The hash of a pre-shared key, as its text and its identity name it. [TCP 1.1 §3.6.1.3]
enum class TlsHash : std::uint8_t {
  kSha256 = 1,  ///< with TLS_AES_128_GCM_SHA256
  kSha384 = 2,  ///< with TLS_AES_256_GCM_SHA384
};

/// SECTYPE, the first byte of TSAS in an entry of the discovery log. [TCP 1.1 §3.1]
enum class SecurityType : std::uint8_t {
  kNone = 0,
  kTls12 = 1,
  kTls13 = 2,
};

/// TREQ bits 1:0 of such an entry: a secure channel is required. [Base 2.1 §5.1.12.3.1]
inline constexpr std::uint8_t kSecureChannelRequired = 1;

/// Pre-shared keys are 32 or 48 bytes long.
inline constexpr std::size_t kTlsKeyMaxBytes = 48;

}  // namespace nvublk::nvme::spec
