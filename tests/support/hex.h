#pragma once

// Bytes as they stand in the specification: written in hexadecimal, compared with a structure.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace nvublk::test {

/// The bytes of `text`: hexadecimal digits; spaces and newlines do not count. "00*N" repeats a byte
/// N times.
inline std::vector<std::uint8_t> bytes_of_hex(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == ' ' || text[i] == '\n') {
      i++;
      continue;
    }
    const auto byte = static_cast<std::uint8_t>(digit(text[i]) * 16 + digit(text[i + 1]));
    i += 2;
    std::size_t count = 1;
    if (i < text.size() && text[i] == '*') {
      count = 0;
      for (i++; i < text.size() && text[i] >= '0' && text[i] <= '9'; i++) {
        count = count * 10 + static_cast<std::size_t>(text[i] - '0');
      }
    }
    bytes.insert(bytes.end(), count, byte);
  }
  return bytes;
}

template <typename T>
std::vector<std::uint8_t> bytes_of(const T& value) {
  std::vector<std::uint8_t> bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

/// A structure read from `text`, which has to have its size.
template <typename T>
T from_hex(std::string_view text) {
  const std::vector<std::uint8_t> bytes = bytes_of_hex(text);
  T value{};
  if (bytes.size() == sizeof(T)) {
    std::memcpy(&value, bytes.data(), sizeof(T));
  } else {
    std::fprintf(stderr, "from_hex: %zu bytes, not %zu\n", bytes.size(), sizeof(T));
    std::abort();
  }
  return value;
}

}  // namespace nvublk::test
