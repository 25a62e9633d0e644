#include "service/hex_text.h"

#include <charconv>
#include <cstdint>

namespace nvublk::service {

Result<std::vector<std::byte>> from_hex(const std::string& text, const char* option) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    std::uint8_t value = 0;
    const char* end = text.data() + i + 2;
    if (std::from_chars(text.data() + i, end, value, 16).ptr != end) {
      break;
    }
    bytes.push_back(std::byte{value});
  }
  if (bytes.size() * 2 != text.size()) {
    return fail(ErrorCode::kInvalidArgument,
                std::string(option) + " is no even number of hexadecimal digits");
  }
  return bytes;
}

}  // namespace nvublk::service
