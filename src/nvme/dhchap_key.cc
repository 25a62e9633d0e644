#include "nvme/dhchap_key.h"

#include <algorithm>
#include <utility>

#include <isa-l/crc.h>

#include "engine/endian.h"
#include "nvme/base64.h"
#include "nvme/dhchap_crypto.h"

namespace nvublk::nvme {

namespace {

constexpr std::string_view kPrefix = "DHHC-1:";
constexpr std::size_t kHashDigits = 3;  ///< "01:"
constexpr std::size_t kCrcBytes = 4;

std::unexpected<Error> bad(std::string why) {
  return fail(ErrorCode::kInvalidArgument, "this is no DH-HMAC-CHAP key: " + std::move(why));
}

bool good_length(std::size_t bytes) {
  return bytes == 32 || bytes == 48 || bytes == 64;
}

std::uint32_t crc32(BytesView bytes) {
  return crc32_gzip_refl(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

/// `bytes`: the secret and its CRC.
Result<DhchapKey> of_bytes(BytesView bytes, std::optional<spec::DhchapHash> hash) {
  if (bytes.size() <= kCrcBytes || !good_length(bytes.size() - kCrcBytes)) {
    return bad("it has " + std::to_string(bytes.size()) +
               " bytes, not 32, 48 or 64 and 4 of a CRC");
  }
  const BytesView secret = bytes.first(bytes.size() - kCrcBytes);
  Le32 crc;
  std::ranges::copy(bytes.last(kCrcBytes), std::as_writable_bytes(std::span(&crc, 1)).begin());
  if (crc.get() != crc32(secret)) {
    return bad("its CRC is wrong, so something in it was changed or is missing");
  }
  return DhchapKey::make(secret, hash);
}

}  // namespace

std::string_view dhchap_hash_name(spec::DhchapHash hash) {
  switch (hash) {
    case spec::DhchapHash::kSha256:
      return "sha256";
    case spec::DhchapHash::kSha384:
      return "sha384";
    case spec::DhchapHash::kSha512:
      return "sha512";
  }
  return "unknown";
}

std::string_view dhchap_group_name(spec::DhchapGroup group) {
  switch (group) {
    case spec::DhchapGroup::kNull:
      return "null";
    case spec::DhchapGroup::kFfdhe2048:
      return "ffdhe2048";
    case spec::DhchapGroup::kFfdhe3072:
      return "ffdhe3072";
    case spec::DhchapGroup::kFfdhe4096:
      return "ffdhe4096";
    case spec::DhchapGroup::kFfdhe6144:
      return "ffdhe6144";
    case spec::DhchapGroup::kFfdhe8192:
      return "ffdhe8192";
  }
  return "unknown";
}

std::size_t dhchap_hash_bytes(spec::DhchapHash hash) {
  switch (hash) {
    case spec::DhchapHash::kSha256:
      return 32;
    case spec::DhchapHash::kSha384:
      return 48;
    case spec::DhchapHash::kSha512:
      return 64;
  }
  return 0;
}

DhchapKey::~DhchapKey() {
  cleanse(secret_);
}

Result<DhchapKey> DhchapKey::parse(std::string_view text) {
  if (!text.starts_with(kPrefix) || text.size() < kPrefix.size() + kHashDigits ||
      text[kPrefix.size() + 2] != ':') {
    return bad("it is not of the form DHHC-1:00:BASE64:");
  }
  const std::string_view hash = text.substr(kPrefix.size(), 2);
  if (hash[0] != '0' || hash[1] < '0' || hash[1] > '3') {
    return bad("its hash is none of 00, 01 (SHA-256), 02 (SHA-384) and 03 (SHA-512)");
  }
  std::string_view base64 = text.substr(kPrefix.size() + kHashDigits);
  if (!base64.ends_with(':')) {
    return bad("it does not end with a colon");
  }
  base64.remove_suffix(1);
  auto bytes = from_base64(base64);
  if (!bytes) {
    return bad("what is between its last two colons is no base64");
  }
  const std::optional<spec::DhchapHash> transform =
      hash[1] == '0' ? std::nullopt : std::optional(static_cast<spec::DhchapHash>(hash[1] - '0'));
  Result<DhchapKey> key = of_bytes(*bytes, transform);
  cleanse(*bytes);
  return key;
}

Result<DhchapKey> DhchapKey::make(std::span<const std::byte> secret,
                                  std::optional<spec::DhchapHash> hash) {
  if (!good_length(secret.size())) {
    return bad("it has " + std::to_string(secret.size()) + " bytes, not 32, 48 or 64");
  }
  DhchapKey key;
  std::ranges::copy(secret, key.secret_.begin());
  key.length_ = secret.size();
  key.hash_ = hash;
  return key;
}

Result<DhchapKey> DhchapKey::generate(std::size_t secret_bytes,
                                      std::optional<spec::DhchapHash> hash, std::string_view nqn) {
  SecretBytes secret(secret_bytes);
  if (Status filled = fill_random(secret.span()); !filled) {
    return std::unexpected(std::move(filled.error()));
  }
  const Result<DhchapKey> key = make(secret.span(), hash);
  return key ? key->transformed(nqn) : key;
}

std::uint32_t DhchapKey::crc() const {
  return crc32(secret());
}

std::string DhchapKey::text() const {
  SecretBytes bytes(length_ + kCrcBytes);
  std::ranges::copy(secret(), bytes.span().begin());
  const Le32 own_crc(crc());
  std::ranges::copy(std::as_bytes(std::span(&own_crc, 1)), bytes.span().last(kCrcBytes).begin());
  const char digit = static_cast<char>('0' + (hash_ ? std::to_underlying(*hash_) : 0));
  std::string base64 = to_base64(bytes.span());
  std::string text = std::string(kPrefix) + '0' + digit + ':' + base64 + ':';
  cleanse(std::as_writable_bytes(std::span(base64)));
  return text;
}

Result<DhchapKey> DhchapKey::transformed(std::string_view nqn) const {
  if (!hash_) {
    return *this;
  }
  constexpr std::string_view kSuffix = "NVMe-over-Fabrics";
  const Result<SecretBytes> bytes =
      hmac(*hash_, secret(), {std::as_bytes(std::span(nqn)), std::as_bytes(std::span(kSuffix))});
  if (!bytes) {
    return std::unexpected(bytes.error());
  }
  return make(bytes->span(), hash_);
}

}  // namespace nvublk::nvme
