#include "nvme/pci_address.h"

#include <array>
#include <charconv>
#include <cstddef>
#include <optional>

#include "nvme/text.h"

namespace nvublk::nvme {
namespace {

// The text between separators.
struct Parts {
  std::array<std::string_view, 4> text;
  std::size_t count = 0;
};

std::optional<Parts> split(std::string_view text) {
  Parts parts;
  while (parts.count < parts.text.size()) {
    const std::size_t end = text.find_first_of(":.");
    parts.text[parts.count++] = text.substr(0, end);
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
  return std::nullopt;
}

std::optional<std::uint32_t> hex(std::string_view text, std::size_t max_digits,
                                 std::uint32_t max_value) {
  if (text.empty() || text.size() > max_digits) return std::nullopt;
  std::uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, 16);
  if (error != std::errc{} || stop != end || value > max_value) return std::nullopt;
  return value;
}

// Without a domain there are two or three parts. "DDDD:BB:DD" and "BB:DD.F" both have three: the
// last separator tells them apart.
bool has_domain(const Parts& parts, std::string_view text) {
  return parts.count == 4 || (parts.count == 3 && text.find_last_of(":.") != text.rfind('.')) ||
         (parts.count == 3 && parts.text[0].size() > 2);
}

void append_hex(std::string& text, std::uint32_t value, std::size_t width) {
  std::array<char, 8> digits{};
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16);
  const auto length = static_cast<std::size_t>(result.ptr - digits.data());
  if (length < width) text.append(width - length, '0');
  text.append(digits.data(), length);
}

}  // namespace

Result<PciAddress> PciAddress::parse(std::string_view text) {
  const auto refuse = [&] {
    return fail(ErrorCode::kInvalidArgument,
                text::quote(text) +
                    " is not a PCI address; write domain:bus:device.function, such as "
                    "0000:01:00.0 (lspci -D lists them)");
  };
  const std::optional<Parts> parts = split(text);
  if (!parts || parts->count < 2) return refuse();
  const bool domain_given = has_domain(*parts, text);
  const std::size_t first = domain_given ? 1 : 0;
  const std::optional<std::uint32_t> domain =
      domain_given ? hex(parts->text[0], 8, 0xffffffff) : std::uint32_t{0};
  const std::optional<std::uint32_t> bus = hex(parts->text[first], 2, 0xff);
  const std::optional<std::uint32_t> device = hex(parts->text[first + 1], 2, 31);
  const std::optional<std::uint32_t> function =
      parts->count > first + 2 ? hex(parts->text[first + 2], 1, 7) : std::uint32_t{0};
  if (!domain || !bus || !device || !function) return refuse();
  return PciAddress{*domain, static_cast<std::uint8_t>(*bus), static_cast<std::uint8_t>(*device),
                    static_cast<std::uint8_t>(*function)};
}

std::string PciAddress::to_string() const {
  std::string text;
  append_hex(text, domain, 4);
  text += ':';
  append_hex(text, bus, 2);
  text += ':';
  append_hex(text, device, 2);
  text += '.';
  append_hex(text, function, 1);
  return text;
}

}  // namespace nvublk::nvme
