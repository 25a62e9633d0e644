#pragma once

// Text fields of fixed length: padded with spaces or NULs, and, coming from a device, with any
// bytes in them. [Base 2.1 §1.4.2]

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace nvublk::nvme::spec {

/// The field up to its first NUL, as it is: for names that are compared byte by byte, such as NQNs.
template <std::size_t N>
std::string_view raw_text(const std::array<char, N>& field) {
  const std::string_view text(field.data(), N);
  return text.substr(0, text.find('\0'));
}

/// The field up to its first NUL, without padding, and with every byte that is not printable ASCII
/// shown as '_': safe for terminals, logs and JSON.
template <std::size_t N>
std::string printable_text(const std::array<char, N>& field) {
  std::string_view text = raw_text(field);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  std::string printable(text);
  for (char& c : printable) {
    if (c < ' ' || c > '~') c = '_';
  }
  return printable;
}

/// Fills `field` with `text`, cut to fit, and pads it with `pad`.
template <std::size_t N>
constexpr void fill_text(std::array<char, N>& field, std::string_view text, char pad) {
  for (std::size_t i = 0; i < N; i++) field[i] = i < text.size() ? text[i] : pad;
}

}  // namespace nvublk::nvme::spec
