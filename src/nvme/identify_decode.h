#pragma once

// Reads the lists that Identify returns. What comes in is a device's: lengths and order are checked
// here, once.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/error.h"
#include "nvme/spec/opcodes.h"

namespace nvublk::nvme {

/// What the identification descriptors of a namespace say; empty strings for what they do not.
struct NamespaceIds {
  std::string uuid;   ///< 8-4-4-4-12 hexadecimal digits
  std::string nguid;  ///< 32 hexadecimal digits
  std::string eui64;  ///< 16 hexadecimal digits
  /// CSI, the command set.
  std::uint8_t csi = static_cast<std::uint8_t>(spec::CommandSetIdentifier::kNvm);

  friend bool operator==(const NamespaceIds&, const NamespaceIds&) = default;
};

/// Reads the descriptor list of CNS 03h, 4096 bytes or fewer. A descriptor whose length is not that
/// of its type, or that leaves the data, is a protocol error; types we do not know are skipped, and
/// identifiers of zeroes only are none. [Base 2.1 §5.1.13]
Result<NamespaceIds> decode_namespace_ids(std::span<const std::byte> data);

/// `bytes` as lower case hexadecimal digits, or empty when all are zero: NGUID and EUI64 of
/// Identify Namespace.
std::string hex_unless_zero(std::span<const std::uint8_t> bytes);

/// Appends the ids of one page of CNS 02h to `nsids`. True when the page was full, so that the next
/// page, from its last id on, may have more. Ids that do not ascend beyond `after` are a protocol
/// error. [Base 2.1 §5.1.13]
Result<bool> append_namespace_list(std::span<const std::byte> page, std::uint32_t after,
                                   std::vector<std::uint32_t>& nsids);

}  // namespace nvublk::nvme
