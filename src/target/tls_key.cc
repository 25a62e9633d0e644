#include "target/tls_key.h"

#include <algorithm>
#include <array>
#include <utility>

#include <isa-l/crc.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

namespace nvublk::target {

namespace {

using Vector = std::vector<std::uint8_t>;

constexpr std::size_t kCrcBytes = 4;
constexpr std::string_view kPrefix = "NVMeTLSkey-1:0";

std::unexpected<Error> invalid(std::string text) {
  return fail(ErrorCode::kInvalidArgument, std::move(text));
}

/// The one hash that goes with a key of this length.
const char* hash_name(std::size_t bytes) {
  return bytes == 48 ? "SHA384" : "SHA256";
}

void append(Vector& bytes, std::string_view text) {
  bytes.push_back(static_cast<std::uint8_t>(text.size()));
  bytes.insert(bytes.end(), text.begin(), text.end());
}

/// HKDF to as many bytes as `key` has, which are those of its hash; nothing if OpenSSL cannot.
/// [RFC 8446 §7.1]
Vector expand(const Vector& key, std::string_view label, std::string_view context) {
  if (context.size() > 255) return {};
  Vector info{0, static_cast<std::uint8_t>(key.size())};
  append(info, "tls13 " + std::string(label));
  append(info, context);
  std::string digest = hash_name(key.size());
  Vector input = key;
  const std::array<OSSL_PARAM, 4> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, input.data(), input.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  EVP_KDF_CTX* state = kdf == nullptr ? nullptr : EVP_KDF_CTX_new(kdf);
  Vector result(key.size());
  if (state == nullptr ||
      EVP_KDF_derive(state, result.data(), result.size(), parameters.data()) != 1) {
    result.clear();
  }
  EVP_KDF_CTX_free(state);
  EVP_KDF_free(kdf);
  return result;
}

std::string digest_text(const Vector& key, const std::string& names) {
  const std::string data = names + " NVMe-over-Fabrics";
  Vector digest(key.size());
  std::size_t length = 0;
  if (EVP_Q_mac(nullptr, "HMAC", nullptr, hash_name(key.size()), nullptr, key.data(), key.size(),
                reinterpret_cast<const unsigned char*>(data.data()), data.size(), digest.data(),
                digest.size(), &length) == nullptr) {
    return {};
  }
  std::string text((digest.size() + 2) / 3 * 4, '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), digest.data(),
                  static_cast<int>(digest.size()));
  return text;
}

}  // namespace

Result<TlsKey> TlsKey::parse(std::string_view text) {
  const std::size_t at = kPrefix.size();
  if (text.size() < at + 4 || !text.starts_with(kPrefix) || text[at] < '0' || text[at] > '2' ||
      text[at + 1] != ':' || text.back() != ':') {
    return invalid("a TLS key has the form NVMeTLSkey-1:00:BASE64:, with 00 to 02");
  }
  const std::string_view base64 = text.substr(at + 2, text.size() - at - 3);
  Vector bytes(base64.size() / 4 * 3 + 3);
  const int decoded =
      EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(base64.data()),
                      static_cast<int>(base64.size()));
  const auto padding = std::ranges::count(base64, '=');
  if (decoded < 0 || padding > 2) return invalid("the TLS key is not in base64");
  bytes.resize(static_cast<std::size_t>(decoded - std::min<std::ptrdiff_t>(padding, decoded)));
  const auto hash = static_cast<std::uint8_t>(text[at] - '0');
  const std::size_t length = bytes.size() - std::min(bytes.size(), kCrcBytes);
  if ((length != 32 && length != 48) || (hash == 1 && length != 32) ||
      (hash == 2 && length != 48)) {
    return invalid("the TLS key has not 32 bytes (00, 01) or 48 bytes (00, 02) and a CRC");
  }
  const std::uint32_t crc = crc32_gzip_refl(0, bytes.data(), length);
  for (std::size_t i = 0; i < kCrcBytes; i++) {
    if (bytes[length + i] != static_cast<std::uint8_t>(crc >> (8 * i))) {
      return invalid("the TLS key's CRC is wrong");
    }
  }
  bytes.resize(length);
  return TlsKey{std::move(bytes), hash};
}

const char* TlsKey::cipher() const {
  return secret.size() == 48 ? "TLS_AES_256_GCM_SHA384" : "TLS_AES_128_GCM_SHA256";
}

// "NVMe0R01 HOSTNQN SUBNQN", "NVMe1R01 HOSTNQN SUBNQN DIGEST".
std::optional<TlsShare> TlsKey::share(std::string_view identity) const {
  std::vector<std::string_view> words;
  for (std::string_view rest = identity; !rest.empty();) {
    const std::size_t space = std::min(rest.find(' '), rest.size());
    words.push_back(rest.substr(0, space));
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  const std::string_view own_hash = secret.size() == 48 ? "02" : "01";
  if (words.size() < 3 || words[0].size() != 8 || !words[0].starts_with("NVMe") ||
      words[0][5] != 'R' || words[0].substr(6) != own_hash) {
    return std::nullopt;
  }
  const char version = words[0][4];
  if ((version != '0' || words.size() != 3) && (version != '1' || words.size() != 4)) {
    return std::nullopt;
  }
  TlsShare share{std::string(words[1]), std::string(words[2]), {}};
  const Vector retained = hash == 0 ? secret : expand(secret, "HostNQN", share.hostnqn);
  std::string context(identity);
  if (version == '1') {
    const std::string digest = digest_text(retained, share.hostnqn + " " + share.subnqn);
    if (digest != words[3]) return std::nullopt;
    context = std::string(own_hash) + " " + digest;
  }
  share.psk = expand(retained, "nvme-tls-psk", context);
  return share.psk.empty() ? std::nullopt : std::optional(std::move(share));
}

}  // namespace nvublk::target
