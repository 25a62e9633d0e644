#include "nvme/uuid.h"

#include <cerrno>
#include <cstddef>

#include <sys/random.h>

#include "nvme/text.h"

namespace nvublk::nvme {
namespace {

constexpr std::size_t kGroupedLength = 36;
constexpr std::size_t kPlainLength = 32;

bool is_dash_position(std::size_t index) {
  return index == 8 || index == 13 || index == 18 || index == 23;
}

std::unexpected<Error> not_a_uuid(std::string_view text) {
  return fail(ErrorCode::kInvalidArgument,
              text::quote(text) +
                  " is not a UUID; write it as "
                  "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx in hexadecimal digits");
}

}  // namespace

Result<Uuid> Uuid::parse(std::string_view text) {
  const bool grouped = text.size() == kGroupedLength;
  if (!grouped && text.size() != kPlainLength) return not_a_uuid(text);
  Uuid uuid;
  std::size_t digits = 0;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (grouped && is_dash_position(i)) {
      if (text[i] != '-') return not_a_uuid(text);
      continue;
    }
    const int digit = text::hex_digit(text[i]);
    if (digit < 0) return not_a_uuid(text);
    uuid.bytes[digits / 2] = static_cast<std::uint8_t>((uuid.bytes[digits / 2] << 4) | digit);
    digits++;
  }
  return uuid;
}

Result<Uuid> Uuid::generate() {
  Uuid uuid;
  if (getrandom(uuid.bytes.data(), uuid.bytes.size(), 0) !=
      static_cast<ssize_t>(uuid.bytes.size())) {
    return fail_errno(errno, "cannot make a random UUID");
  }
  uuid.bytes[6] = static_cast<std::uint8_t>((uuid.bytes[6] & 0x0f) | 0x40);
  uuid.bytes[8] = static_cast<std::uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid;
}

std::string Uuid::to_string() const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(kGroupedLength);
  for (const std::uint8_t byte : bytes) {
    if (is_dash_position(text.size())) text += '-';
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0xf];
  }
  return text;
}

bool Uuid::is_zero() const {
  return *this == Uuid{};
}

}  // namespace nvublk::nvme
