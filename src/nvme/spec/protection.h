#pragma once

// End-to-end protection information with 16-bit guards: 8 bytes of each block's metadata.
// [NVM 1.1 §5.3]

#include <array>
#include <cstdint>
#include <type_traits>

namespace nvublk::nvme::spec {

/// All fields are big-endian, as T10 has them. [NVM 1.1 §5.3.1]
struct ProtectionInformation {
  /// CRC-16/T10-DIF of the block's data, and of metadata before this.
  std::array<std::uint8_t, 2> guard_bytes{};
  std::array<std::uint8_t, 2> application_tag_bytes{};  ///< the application's
  /// By the type: low half of the LBA (type 1), counting up (type 2), the application's (type 3).
  std::array<std::uint8_t, 4> reference_tag_bytes{};

  /// From values in the machine's byte order.
  static constexpr ProtectionInformation make(std::uint16_t guard, std::uint16_t application_tag,
                                              std::uint32_t reference_tag) {
    ProtectionInformation info;
    info.guard_bytes = {high(guard), low(guard)};
    info.application_tag_bytes = {high(application_tag), low(application_tag)};
    info.reference_tag_bytes = {high(reference_tag >> 16), low(reference_tag >> 16),
                                high(reference_tag), low(reference_tag)};
    return info;
  }
  ///@{
  /// In the machine's byte order.
  constexpr std::uint16_t guard() const { return value(guard_bytes[0], guard_bytes[1]); }
  constexpr std::uint16_t application_tag() const {
    return value(application_tag_bytes[0], application_tag_bytes[1]);
  }
  constexpr std::uint32_t reference_tag() const {
    return (std::uint32_t{value(reference_tag_bytes[0], reference_tag_bytes[1])} << 16) |
           value(reference_tag_bytes[2], reference_tag_bytes[3]);
  }
  ///@}
  friend constexpr bool operator==(const ProtectionInformation&,
                                   const ProtectionInformation&) = default;

 private:
  static constexpr std::uint8_t high(std::uint32_t value) {
    return static_cast<std::uint8_t>(value >> 8);
  }
  static constexpr std::uint8_t low(std::uint32_t value) {
    return static_cast<std::uint8_t>(value);
  }
  static constexpr std::uint16_t value(std::uint8_t high, std::uint8_t low) {
    return static_cast<std::uint16_t>((high << 8) | low);
  }
};

inline constexpr std::uint32_t kProtectionBytes = 8;  ///< of each block
///@{
/// The escape: a block with this application tag (type 3: and this reference tag) is not checked.
inline constexpr std::uint16_t kUncheckedApplicationTag = 0xffff;
inline constexpr std::uint32_t kUncheckedReferenceTag = 0xffffffff;
///@}

///@{
/// PRINFO in cdw12, for all commands that have it. [NVM 1.1 §3.1]
inline constexpr std::uint32_t kPrinfoAction = 1u << 29;
inline constexpr std::uint32_t kPrinfoCheckGuard = 1u << 28;
inline constexpr std::uint32_t kPrinfoCheckApplicationTag = 1u << 27;
inline constexpr std::uint32_t kPrinfoCheckReferenceTag = 1u << 26;
///@}

static_assert(sizeof(ProtectionInformation) == kProtectionBytes);
static_assert(std::is_trivially_copyable_v<ProtectionInformation>);

}  // namespace nvublk::nvme::spec
