#include "nvme/key_text.h"

#include <algorithm>

#include <isa-l/crc.h>

#include "engine/endian.h"
#include "nvme/base64.h"

namespace nvublk::nvme {

namespace {

constexpr std::size_t kHashDigits = 3;  ///< "01:"
constexpr std::size_t kCrcBytes = 4;

std::unexpected<Error> bad(std::string why) {
  return fail(ErrorCode::kInvalidArgument, std::move(why));
}

/// `bytes`: the secret and its CRC.
Result<SecretBytes> secret_of(const KeyForm& form, BytesView bytes) {
  if (bytes.size() <= kCrcBytes || !form.good_length(bytes.size() - kCrcBytes)) {
    return bad("it has " + std::to_string(bytes.size()) + " bytes, not " +
               std::string(form.lengths) + " and 4 of a CRC");
  }
  const BytesView secret = bytes.first(bytes.size() - kCrcBytes);
  Le32 crc;
  std::ranges::copy(bytes.last(kCrcBytes), std::as_writable_bytes(std::span(&crc, 1)).begin());
  if (crc.get() != key_crc(secret)) {
    return bad("its CRC is wrong, so something in it was changed or is missing");
  }
  SecretBytes result(secret.size());
  std::ranges::copy(secret, result.span().begin());
  return result;
}

}  // namespace

Result<KeyText> read_key_text(const KeyForm& form, std::string_view text) {
  const std::size_t hash_at = form.prefix.size();
  if (!text.starts_with(form.prefix) || text.size() < hash_at + kHashDigits ||
      text[hash_at + 2] != ':') {
    return bad("it is not of the form " + std::string(form.prefix) + "00:BASE64:");
  }
  const unsigned hash = static_cast<unsigned>(text[hash_at + 1]) - '0';
  if (text[hash_at] != '0' || hash > form.last_hash) {
    return bad("its hash is none of " + std::string(form.hashes));
  }
  std::string_view base64 = text.substr(hash_at + kHashDigits);
  if (!base64.ends_with(':')) {
    return bad("it does not end with a colon");
  }
  base64.remove_suffix(1);
  auto bytes = from_base64(base64);
  if (!bytes) {
    return bad("what is between its last two colons is no base64");
  }
  Result<SecretBytes> secret = secret_of(form, *bytes);
  cleanse(*bytes);
  if (!secret) {
    return std::unexpected(std::move(secret.error()));
  }
  return KeyText{hash, std::move(*secret)};
}

std::string write_key_text(const KeyForm& form, unsigned hash, std::span<const std::byte> secret) {
  SecretBytes bytes(secret.size() + kCrcBytes);
  std::ranges::copy(secret, bytes.span().begin());
  const Le32 crc(key_crc(secret));
  std::ranges::copy(std::as_bytes(std::span(&crc, 1)), bytes.span().last(kCrcBytes).begin());
  std::string base64 = to_base64(bytes.span());
  std::string text =
      std::string(form.prefix) + '0' + static_cast<char>('0' + hash) + ':' + base64 + ':';
  cleanse(std::as_writable_bytes(std::span(base64)));
  return text;
}

std::uint32_t key_crc(std::span<const std::byte> secret) {
  return crc32_gzip_refl(0, reinterpret_cast<const unsigned char*>(secret.data()), secret.size());
}

}  // namespace nvublk::nvme
