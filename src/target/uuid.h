#pragma once

// A UUID as 16 bytes in the order in which it is written, which is also its order on the wire.
// [Base 2.1 §4.7.1.3]

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nvublk::target {

struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  static std::optional<Uuid> parse(std::string_view text);
  /// Always the same for the same `seed`; marked as version 8 (custom) of RFC 9562.
  static Uuid derive(std::string_view seed);
  std::string to_string() const;
};

}  // namespace nvublk::target
