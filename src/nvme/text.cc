#include "nvme/text.h"

#include <cstddef>
#include <cstdint>

namespace nvublk::nvme::text {
namespace {

constexpr std::size_t kQuoteLength = 64;

std::uint32_t byte_at(std::string_view text, std::size_t index) {
  return static_cast<std::uint8_t>(text[index]);
}

// How many bytes the character at `index` has, or 0 when it is not well formed. [RFC 3629 §4]
std::size_t utf8_character_length(std::string_view text, std::size_t index) {
  const std::uint32_t lead = byte_at(text, index);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : (lead >= 0xe0 ? 3 : 2);
  if (lead < 0xc2 || lead > 0xf4 || text.size() - index < length) return 0;
  for (std::size_t i = 1; i < length; i++) {
    if ((byte_at(text, index + i) & 0xc0) != 0x80) return 0;
  }
  const std::uint32_t second = byte_at(text, index + 1);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool beyond = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
  return overlong || beyond ? 0 : length;
}

}  // namespace

std::string lowercase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = to_lower(c);
  return lower;
}

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return lowercase(left) == lowercase(right);
}

std::string quote(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text.substr(0, kQuoteLength)) quoted += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > kQuoteLength) quoted += "...";
  return quoted + "'";
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_character_length(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

}  // namespace nvublk::nvme::text
