#pragma once

// Keys of DH-HMAC-CHAP, by which a host and a controller prove to each other who they are, in the
// representation that nvme-cli and SPDK have, too: "DHHC-1:01:BASE64:". [Base 2.3 §8.3.5.5.8]

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "nvme/spec/authentication.h"

namespace nvublk::nvme {

/// "sha256", "sha384", "sha512".
std::string_view dhchap_hash_name(spec::DhchapHash hash);
/// "null", "ffdhe2048", ...
std::string_view dhchap_group_name(spec::DhchapGroup group);
/// How many bytes `hash` makes; 32, 48 or 64.
std::size_t dhchap_hash_bytes(spec::DhchapHash hash);

/// A secret of 32, 48 or 64 bytes, or none. Its memory is overwritten when it ends; it is not
/// printed anywhere but by text(). [Base 2.3 §8.3.5.5.7]
class DhchapKey {
 public:
  /// The longest secret, in bytes.
  static constexpr std::size_t kMaxBytes = 64;

  /// None.
  DhchapKey() = default;
  /// Overwrites it.
  ~DhchapKey();
  /// Another one of the same value.
  DhchapKey(const DhchapKey& other) = default;
  /// Takes the value of `other`.
  DhchapKey& operator=(const DhchapKey& other) = default;

  /// Reads "DHHC-1:HH:BASE64:", where HH is 00 to 03 and BASE64 the secret and its CRC-32. The
  /// error says what is wrong and does not have the text in it.
  static Result<DhchapKey> parse(std::string_view text);
  /// Of these bytes; `hash` is what transforms them before they are used, none: nothing does.
  static Result<DhchapKey> make(std::span<const std::byte> secret,
                                std::optional<spec::DhchapHash> hash);
  /// `secret_bytes` (32, 48 or 64) at random, transformed for `nqn` once already where there is a
  /// `hash` (which then decides on the length), as gen-dhchap-key of nvme-cli does.
  static Result<DhchapKey> generate(std::size_t secret_bytes, std::optional<spec::DhchapHash> hash,
                                    std::string_view nqn);

  /// What parse() reads. It is a secret.
  std::string text() const;
  /// Whether there is none.
  bool empty() const { return length_ == 0; }
  /// The bytes of the secret.
  std::span<const std::byte> secret() const { return std::span(secret_).first(length_); }
  /// CRC-32 of the secret, which text() has in it.
  std::uint32_t crc() const;
  /// What transforms it.
  std::optional<spec::DhchapHash> hash() const { return hash_; }
  /// The key as the protocol uses it on behalf of `nqn`: HMAC of the name and "NVMe-over-Fabrics",
  /// or the secret itself if no hash is set. [Base 2.3 §8.3.5.5.7]
  Result<DhchapKey> transformed(std::string_view nqn) const;
  /// Whether both are the same.
  bool operator==(const DhchapKey& other) const = default;

 private:
  std::array<std::byte, kMaxBytes> secret_{};
  std::size_t length_ = 0;
  std::optional<spec::DhchapHash> hash_;
};

/// The keys of an association.
struct DhchapKeys {
  DhchapKey key;        ///< the host's; empty: it cannot authenticate itself
  DhchapKey ctrlr_key;  ///< the controller's; empty: it need not authenticate itself
};

}  // namespace nvublk::nvme
