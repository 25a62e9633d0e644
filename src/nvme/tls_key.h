#pragma once

// Pre-shared keys of TLS over TCP, in the representation that nvme-cli and SPDK have, too:
// "NVMeTLSkey-1:01:BASE64:". What a user configures is made the key of one host first, and then, by
// the names of host and subsystem, what a connection's two ends share. [TCP 1.1 §3.6.1.3]

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "nvme/spec/tls.h"

namespace nvublk::nvme {

/// "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384": the only suite that goes with `hash`.
std::string_view tls_cipher_name(spec::TlsHash hash);
/// How many bytes `hash` makes; 32 or 48.
std::size_t tls_hash_bytes(spec::TlsHash hash);

/// What both ends of a connection share and how they name it, or nothing. Its memory is overwritten
/// when it ends. [TCP 1.1 §3.6.1.3]
class TlsPsk {
 public:
  /// Nothing.
  TlsPsk() = default;
  /// `secret` has as many bytes as `hash` makes.
  TlsPsk(spec::TlsHash hash, std::string identity, std::span<const std::byte> secret);
  /// Overwrites it.
  ~TlsPsk();
  /// Another one of the same value.
  TlsPsk(const TlsPsk& other) = default;
  /// Takes the value of `other`.
  TlsPsk& operator=(const TlsPsk& other) = default;

  /// Whether there is none.
  bool empty() const { return length_ == 0; }
  /// The hash that goes with it, and with that the cipher suite.
  spec::TlsHash hash() const { return hash_; }
  /// "NVMe0R01 HOSTNQN SUBNQN": what the host says which key it means; no secret.
  const std::string& identity() const { return identity_; }
  /// The pre-shared key of TLS.
  std::span<const std::byte> secret() const { return std::span(secret_).first(length_); }

 private:
  std::array<std::byte, spec::kTlsKeyMaxBytes> secret_{};
  std::size_t length_ = 0;
  spec::TlsHash hash_ = spec::TlsHash::kSha256;
  std::string identity_;
};

/// A configured key of 32 or 48 bytes, or none. Its memory is overwritten when it ends; it is not
/// printed anywhere but by text(). [TCP 1.1 §3.6.1.3]
class TlsKey {
 public:
  /// None.
  TlsKey() = default;
  /// Overwrites it.
  ~TlsKey();
  /// Another one of the same value.
  TlsKey(const TlsKey& other) = default;
  /// Takes the value of `other`.
  TlsKey& operator=(const TlsKey& other) = default;

  /// Reads "NVMeTLSkey-1:HH:BASE64:", where HH is 00 to 02 and BASE64 the key and its CRC-32. The
  /// error says what is wrong and does not have the text in it.
  static Result<TlsKey> parse(std::string_view text);
  /// Of these bytes: 32 with SHA-256, 48 with SHA-384. `hash` is what makes them the key of a host,
  /// none: they are that already.
  static Result<TlsKey> make(std::span<const std::byte> secret, std::optional<spec::TlsHash> hash);
  /// At random.
  static Result<TlsKey> generate(spec::TlsHash hash);

  /// What parse() reads. It is a secret.
  std::string text() const;
  /// Whether there is none.
  bool empty() const { return length_ == 0; }
  /// The bytes that were configured.
  std::span<const std::byte> secret() const { return std::span(secret_).first(length_); }
  /// CRC-32 of them, which text() has in it.
  std::uint32_t crc() const;
  /// What makes them the key of a host.
  std::optional<spec::TlsHash> hash() const { return hash_; }
  /// The hash that TLS uses with it, which follows from its length.
  spec::TlsHash cipher_hash() const;
  /// What a host and a controller share by it. `identity_version` is 0 (NVMe/TCP 1.0) or 1, which
  /// has a digest of the key in the identity. Fails for another version, and for version 0 when
  /// both names together do not fit into the 255 bytes that the derivation has for them.
  Result<TlsPsk> psk(std::string_view hostnqn, std::string_view subnqn,
                     unsigned identity_version) const;
  /// Whether both are the same.
  bool operator==(const TlsKey& other) const = default;

 private:
  std::array<std::byte, spec::kTlsKeyMaxBytes> secret_{};
  std::size_t length_ = 0;
  std::optional<spec::TlsHash> hash_;
};

}  // namespace nvublk::nvme
