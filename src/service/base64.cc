#include "service/base64.h"

#include <algorithm>
#include <cstdint>

namespace nvublk::service {

namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string to_base64(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t n = 0; n < 3; n++) {
      group = group << 8 | (n < count ? std::to_integer<std::uint32_t>(bytes[i + n]) : 0);
    }
    for (std::size_t n = 0; n < 4; n++) {
      text += n <= count ? kDigits[group >> (18 - 6 * n) & 0x3f] : '=';
    }
  }
  return text;
}

std::optional<std::vector<std::byte>> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) {
    return std::nullopt;
  }
  std::size_t padding = 0;
  while (padding < 2 && text.size() > padding && text[text.size() - 1 - padding] == '=') {
    padding++;
  }
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t group = 0;
  for (std::size_t i = 0; i < text.size(); i++) {
    const bool padded = i + padding >= text.size();
    const std::size_t digit = padded ? 0 : kDigits.find(text[i]);
    if (digit == std::string_view::npos) {
      return std::nullopt;
    }
    group = group << 6 | static_cast<std::uint32_t>(digit);
    if (i % 4 == 3) {
      bytes.push_back(static_cast<std::byte>(group >> 16 & 0xff));
      bytes.push_back(static_cast<std::byte>(group >> 8 & 0xff));
      bytes.push_back(static_cast<std::byte>(group & 0xff));
      group = 0;
    }
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

}  // namespace nvublk::service
