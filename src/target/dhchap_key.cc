#include "target/dhchap_key.h"

#include <algorithm>
#include <array>
#include <utility>

#include <isa-l/crc.h>
#include <openssl/evp.h>

namespace nvublk::target {

using nvme::spec::DhchapGroup;
using nvme::spec::DhchapHash;

namespace {

constexpr std::size_t kCrcBytes = 4;

std::unexpected<Error> invalid(std::string text) {
  return fail(ErrorCode::kInvalidArgument, std::move(text));
}

}  // namespace

Result<DhchapKey> DhchapKey::parse(std::string_view text) {
  constexpr std::string_view kForm = "DHHC-1:0?:";
  if (text.size() < kForm.size() + 4 || !text.starts_with("DHHC-1:0") || text[8] < '0' ||
      text[8] > '3' || text[9] != ':' || text.back() != ':') {
    return invalid("a key has the form DHHC-1:00:BASE64:, with 00 to 03");
  }
  const std::string_view base64 = text.substr(kForm.size(), text.size() - kForm.size() - 1);
  std::vector<std::uint8_t> bytes(base64.size() / 4 * 3 + 3);
  const int decoded =
      EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(base64.data()),
                      static_cast<int>(base64.size()));
  const auto padding = std::ranges::count(base64, '=');
  if (decoded < 0 || padding > 2) return invalid("the key is not in base64");
  bytes.resize(static_cast<std::size_t>(decoded - padding));
  if (bytes.size() != 36 && bytes.size() != 52 && bytes.size() != 68) {
    return invalid("the key has not 32, 48 or 64 bytes and a CRC");
  }
  const std::size_t length = bytes.size() - kCrcBytes;
  const std::uint32_t crc = crc32_gzip_refl(0, bytes.data(), length);
  for (std::size_t i = 0; i < kCrcBytes; i++) {
    if (bytes[length + i] != static_cast<std::uint8_t>(crc >> (8 * i))) {
      return invalid("the key's CRC is wrong");
    }
  }
  bytes.resize(length);
  return DhchapKey{std::move(bytes), static_cast<std::uint8_t>(text[8] - '0')};
}

Result<DhchapHash> parse_dhchap_hash(std::string_view name) {
  if (name == "sha256") return DhchapHash::kSha256;
  if (name == "sha384") return DhchapHash::kSha384;
  if (name == "sha512") return DhchapHash::kSha512;
  return invalid("a hash is sha256, sha384 or sha512");
}

Result<DhchapGroup> parse_dhchap_group(std::string_view name) {
  constexpr std::array<std::string_view, 6> kNames = {"null",      "ffdhe2048", "ffdhe3072",
                                                      "ffdhe4096", "ffdhe6144", "ffdhe8192"};
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) {
    return invalid("a group is null, ffdhe2048, ffdhe3072, ffdhe4096, ffdhe6144 or ffdhe8192");
  }
  return static_cast<DhchapGroup>(found - kNames.begin());
}

Result<std::pair<std::string, DhchapKey>> parse_host_key(std::string_view text) {
  const std::size_t split = text.find("=DHHC-1:");
  if (split == std::string_view::npos || split == 0) {
    return invalid("a host's key is given as HOSTNQN=DHHC-1:...");
  }
  auto key = DhchapKey::parse(text.substr(split + 1));
  if (!key) return std::unexpected(std::move(key.error()));
  return std::pair(std::string(text.substr(0, split)), std::move(*key));
}

}  // namespace nvublk::target
