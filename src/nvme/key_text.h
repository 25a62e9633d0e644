#pragma once

// The text that secrets of NVMe are exchanged in: "PREFIX00:BASE64:", where 00 names a hash and
// BASE64 is the secret and its CRC-32. [Base 2.3 §8.3.5.5.8] [TCP 1.1 §3.6.1.3]

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "nvme/dhchap_crypto.h"

namespace nvublk::nvme {

/// What such a text may have.
struct KeyForm {
  std::string_view prefix;  ///< "DHHC-1:"
  unsigned last_hash;       ///< hashes are 0 to this
  std::string_view hashes;  ///< them, in words
  bool (*good_length)(std::size_t bytes);
  std::string_view lengths;  ///< them, in words
};

struct KeyText {
  unsigned hash = 0;
  SecretBytes secret;
};

/// The error says what is wrong, as the end of a sentence, and does not have the text in it.
Result<KeyText> read_key_text(const KeyForm& form, std::string_view text);
/// It is a secret.
std::string write_key_text(const KeyForm& form, unsigned hash, std::span<const std::byte> secret);
/// The CRC-32 in that.
std::uint32_t key_crc(std::span<const std::byte> secret);

}  // namespace nvublk::nvme
