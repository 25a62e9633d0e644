#include "nvme/base64.h"

#include <algorithm>

#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace nvublk::nvme {

std::string to_base64(std::span<const std::byte> bytes) {
  std::string text((bytes.size() + 2) / 3 * 4, '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                  reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()));
  return text;
}

std::optional<std::vector<std::byte>> from_base64(std::string_view text) {
  std::vector<std::byte> bytes;
  if (text.empty()) {
    return bytes;
  }
  if (text.size() % 4 != 0) {
    return std::nullopt;
  }
  bytes.resize(text.size() / 4 * 3);
  const int decoded = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                      reinterpret_cast<const unsigned char*>(text.data()),
                                      static_cast<int>(text.size()));
  if (decoded < 0) {
    return std::nullopt;
  }
  const auto padding = std::ranges::count(text.substr(text.size() - 2), '=');
  bytes.resize(bytes.size() - static_cast<std::size_t>(padding));
  // OpenSSL takes more than it writes.
  std::string again = to_base64(bytes);
  const bool same = again == text;
  OPENSSL_cleanse(again.data(), again.size());  // it may be a key
  return same ? std::optional(std::move(bytes)) : std::nullopt;
}

}  // namespace nvublk::nvme
