#pragma once

// Small text helpers of the parsers in this folder: ASCII only, whatever the locale.

#include <string>
#include <string_view>

namespace nvublk::nvme::text {

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// The value of a hexadecimal digit, or -1.
constexpr int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string lowercase(std::string_view text);
bool equal_ignoring_case(std::string_view left, std::string_view right);
/// `text` in quotes for a message: cut when long, unprintable bytes shown as '?'.
std::string quote(std::string_view text);
/// Whether `text` is well-formed UTF-8 (no overlong forms, no surrogates).
bool is_utf8(std::string_view text);

}  // namespace nvublk::nvme::text
