#include "nvme/tls_key.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"
#include "nvme/base64.h"
#include "nvme/dhchap_crypto.h"
#include "nvme/key_text.h"

namespace nvublk::nvme {

namespace {

/// What the derivation has room for besides its label. [RFC 8446 §7.1]
constexpr std::size_t kMaxContextBytes = 255;

bool good_length(std::size_t bytes) {
  return bytes == 32 || bytes == 48;
}

constexpr KeyForm kForm{"NVMeTLSkey-1:", 2, "00, 01 (SHA-256) and 02 (SHA-384)", good_length,
                        "32 or 48"};

std::unexpected<Error> bad(std::string why) {
  return fail(ErrorCode::kInvalidArgument, "this is no TLS key: " + std::move(why));
}

BytesView text_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// The codes of both are the same.
Result<SecretBytes> hmac_of(spec::TlsHash hash, BytesView key,
                            std::initializer_list<BytesView> parts) {
  return hmac(static_cast<spec::DhchapHash>(hash), key, parts);
}

std::string digits(spec::TlsHash hash) {
  return hash == spec::TlsHash::kSha256 ? "01" : "02";
}

/// HKDF-Extract without salt, and HKDF-Expand-Label to as many bytes as the hash has, which is one
/// round. The length, the label and the context have their own lengths before them. [RFC 8446 §7.1]
Result<SecretBytes> derive(spec::TlsHash hash, BytesView secret, std::string_view label,
                           std::string_view context) {
  CHECK(context.size() <= kMaxContextBytes);
  const std::size_t length = tls_hash_bytes(hash);
  const SecretBytes salt(length);
  const Result<SecretBytes> extracted = hmac_of(hash, salt.span(), {secret});
  if (!extracted) {
    return std::unexpected(extracted.error());
  }
  const std::string full_label = "tls13 " + std::string(label);
  std::string info;
  info += '\0';
  info += static_cast<char>(length);
  info += static_cast<char>(full_label.size());
  info += full_label;
  info += static_cast<char>(context.size());
  info += context;
  constexpr std::array<std::byte, 1> kFirstRound{std::byte{1}};
  return hmac_of(hash, extracted->span(), {text_bytes(info), kFirstRound});
}

}  // namespace

std::string_view tls_cipher_name(spec::TlsHash hash) {
  return hash == spec::TlsHash::kSha256 ? "TLS_AES_128_GCM_SHA256" : "TLS_AES_256_GCM_SHA384";
}

std::size_t tls_hash_bytes(spec::TlsHash hash) {
  return hash == spec::TlsHash::kSha256 ? 32 : 48;
}

TlsPsk::TlsPsk(spec::TlsHash hash, std::string identity, std::span<const std::byte> secret)
    : length_(secret.size()), hash_(hash), identity_(std::move(identity)) {
  CHECK(secret.size() == tls_hash_bytes(hash));
  std::ranges::copy(secret, secret_.begin());
}

TlsPsk::~TlsPsk() {
  cleanse(secret_);
}

TlsKey::~TlsKey() {
  cleanse(secret_);
}

Result<TlsKey> TlsKey::parse(std::string_view text) {
  const Result<KeyText> read = read_key_text(kForm, text);
  if (!read) {
    return bad(read.error().text);
  }
  return make(read->secret.span(), read->hash == 0
                                       ? std::nullopt
                                       : std::optional(static_cast<spec::TlsHash>(read->hash)));
}

Result<TlsKey> TlsKey::make(std::span<const std::byte> secret, std::optional<spec::TlsHash> hash) {
  if (!good_length(secret.size())) {
    return bad("it has " + std::to_string(secret.size()) + " bytes, not " +
               std::string(kForm.lengths));
  }
  if (hash && secret.size() != tls_hash_bytes(*hash)) {
    return bad("it has " + std::to_string(secret.size()) + " bytes, and with its hash (" +
               digits(*hash) + ") it must have " + std::to_string(tls_hash_bytes(*hash)));
  }
  TlsKey key;
  std::ranges::copy(secret, key.secret_.begin());
  key.length_ = secret.size();
  key.hash_ = hash;
  return key;
}

Result<TlsKey> TlsKey::generate(spec::TlsHash hash) {
  SecretBytes secret(tls_hash_bytes(hash));
  if (Status filled = fill_random(secret.span()); !filled) {
    return std::unexpected(std::move(filled.error()));
  }
  return make(secret.span(), hash);
}

std::string TlsKey::text() const {
  return write_key_text(kForm, hash_ ? std::to_underlying(*hash_) : 0, secret());
}

std::uint32_t TlsKey::crc() const {
  return key_crc(secret());
}

spec::TlsHash TlsKey::cipher_hash() const {
  return length_ == tls_hash_bytes(spec::TlsHash::kSha384) ? spec::TlsHash::kSha384
                                                           : spec::TlsHash::kSha256;
}

// Configured key -> retained key -> identity -> what TLS is given.
Result<TlsPsk> TlsKey::psk(std::string_view hostnqn, std::string_view subnqn,
                           unsigned identity_version) const {
  CHECK(!empty());
  if (identity_version > 1) {
    return fail(ErrorCode::kInvalidArgument, "the identity version of TLS keys is 0 or 1");
  }
  const spec::TlsHash hash = cipher_hash();
  SecretBytes retained(length_);
  std::ranges::copy(secret(), retained.span().begin());
  if (hash_) {
    Result<SecretBytes> made = derive(hash, secret(), "HostNQN", hostnqn);
    if (!made) {
      return std::unexpected(std::move(made.error()));
    }
    retained = std::move(*made);
  }
  std::string identity = "NVMe" + std::to_string(identity_version) + "R" + digits(hash) + " " +
                         std::string(hostnqn) + " " + std::string(subnqn);
  std::string context = identity;
  if (identity_version == 1) {
    constexpr std::string_view kSpace = " ";
    const Result<SecretBytes> digest =
        hmac_of(hash, retained.span(),
                {text_bytes(hostnqn), text_bytes(kSpace), text_bytes(subnqn), text_bytes(kSpace),
                 text_bytes("NVMe-over-Fabrics")});
    if (!digest) {
      return std::unexpected(digest.error());
    }
    const std::string base64 = to_base64(digest->span());
    identity += " " + base64;
    context = digits(hash) + " " + base64;
  }
  if (context.size() > kMaxContextBytes) {
    return fail(ErrorCode::kInvalidArgument,
                "the NQNs of host and subsystem are too long together for a TLS identity of "
                "version 0; use version 1 (--tls-identity-version)");
  }
  const Result<SecretBytes> shared = derive(hash, retained.span(), "nvme-tls-psk", context);
  if (!shared) {
    return std::unexpected(shared.error());
  }
  return TlsPsk(hash, std::move(identity), shared->span());
}

}  // namespace nvublk::nvme
