#include "nvme/dhchap_key.h"

#include <algorithm>
#include <utility>

#include "nvme/dhchap_crypto.h"
#include "nvme/key_text.h"

namespace nvublk::nvme {

namespace {

bool good_length(std::size_t bytes) {
  return bytes == 32 || bytes == 48 || bytes == 64;
}

constexpr KeyForm kForm{"DHHC-1:", 3, "00, 01 (SHA-256), 02 (SHA-384) and 03 (SHA-512)",
                        good_length, "32, 48 or 64"};

std::unexpected<Error> bad(std::string why) {
  return fail(ErrorCode::kInvalidArgument, "this is no DH-HMAC-CHAP key: " + std::move(why));
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
  const Result<KeyText> read = read_key_text(kForm, text);
  if (!read) {
    return bad(read.error().text);
  }
  return make(read->secret.span(), read->hash == 0
                                       ? std::nullopt
                                       : std::optional(static_cast<spec::DhchapHash>(read->hash)));
}

Result<DhchapKey> DhchapKey::make(std::span<const std::byte> secret,
                                  std::optional<spec::DhchapHash> hash) {
  if (!good_length(secret.size())) {
    return bad("it has " + std::to_string(secret.size()) + " bytes, not " +
               std::string(kForm.lengths));
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
  return key_crc(secret());
}

std::string DhchapKey::text() const {
  return write_key_text(kForm, hash_ ? std::to_underlying(*hash_) : 0, secret());
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
