#pragma once

// 16-byte identifiers with the textual form of RFC 9562: host identifiers and namespace UUIDs. On
// the wire the bytes have the order of the text.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace nvublk::nvme {

/// See the top of this file.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};  ///< in the order of the text

  /// Reads 32 hexadecimal digits, in groups of 8-4-4-4-12 or without any '-'.
  static Result<Uuid> parse(std::string_view text);
  /// A random one (version 4).
  static Result<Uuid> generate();

  /// Lower case, 36 characters.
  std::string to_string() const;
  /// Whether all bytes are zero, as where none is reported.
  bool is_zero() const;

  friend bool operator==(const Uuid&, const Uuid&) = default;
};

/// HOSTID: says to controllers which hosts are the same. [Base 2.1 §6.3]
using HostId = Uuid;

}  // namespace nvublk::nvme
