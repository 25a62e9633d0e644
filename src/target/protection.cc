#include "target/protection.h"

#include <array>
#include <cstring>

namespace nvublk::target {

using namespace nvme::spec;

namespace {

constexpr std::uint16_t kPolynomial = 0x8bb7;

constexpr std::array<std::uint16_t, 256> make_table() {
  std::array<std::uint16_t, 256> table{};
  for (unsigned i = 0; i < 256; i++) {
    unsigned crc = i << 8;
    for (int bit = 0; bit < 8; bit++) {
      crc = (crc & 0x8000) != 0 ? (crc << 1) ^ kPolynomial : crc << 1;
    }
    table[i] = static_cast<std::uint16_t>(crc);
  }
  return table;
}

constexpr std::array<std::uint16_t, 256> kTable = make_table();

// The guard covers the data, and the metadata before it when it is in the last bytes.
std::uint16_t guard_of(const BlockFormat& format, const ProtectedBlock& block) {
  const std::uint16_t crc = crc16_t10(0, block.data);
  return crc16_t10(crc, {block.metadata, format.protection_offset()});
}

// Type 3 has one reference tag for all blocks, and no meaning for it.
std::uint32_t expected_reference_tag(const BlockFormat& format, const ProtectionControl& control,
                                     std::uint32_t index) {
  return format.protection_type == 3 ? control.reference_tag : control.reference_tag + index;
}

}  // namespace

ProtectionControl ProtectionControl::of(const SubmissionEntry& sqe) {
  const std::uint32_t flags = sqe.cdw12.get();
  ProtectionControl control;
  control.action = (flags & kPrinfoAction) != 0;
  control.check_guard = (flags & kPrinfoCheckGuard) != 0;
  control.check_application_tag = (flags & kPrinfoCheckApplicationTag) != 0;
  control.check_reference_tag = (flags & kPrinfoCheckReferenceTag) != 0;
  control.reference_tag = sqe.cdw14.get();
  control.application_tag = static_cast<std::uint16_t>(sqe.cdw15.get());
  control.application_tag_mask = static_cast<std::uint16_t>(sqe.cdw15.get() >> 16);
  return control;
}

std::uint16_t crc16_t10(std::uint16_t crc, std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) {
    crc = static_cast<std::uint16_t>((crc << 8) ^ kTable[(crc >> 8) ^ byte]);
  }
  return crc;
}

std::uint32_t wire_metadata_bytes(const BlockFormat& format, const ProtectionControl& control) {
  const bool all_is_ours =
      format.protection_type != 0 && control.action && format.metadata_bytes == kProtectionBytes;
  return all_is_ours ? 0 : format.metadata_bytes;
}

std::optional<NvmeStatus> check_control(const BlockFormat& format, const ProtectionControl& control,
                                        std::uint64_t lba) {
  if (format.protection_type == 0 || !control.check_reference_tag) return std::nullopt;
  const bool wrong_start =
      format.protection_type == 1 && control.reference_tag != static_cast<std::uint32_t>(lba);
  if (wrong_start || format.protection_type == 3) {
    return NvmeStatus::make(NvmStatusCode::kInvalidProtectionInformation, true);
  }
  return std::nullopt;
}

void insert_protection(const BlockFormat& format, const ProtectionControl& control,
                       const ProtectedBlock& block) {
  const auto information =
      ProtectionInformation::make(guard_of(format, block), control.application_tag,
                                  expected_reference_tag(format, control, block.index));
  std::memcpy(block.metadata + format.protection_offset(), &information, sizeof(information));
}

std::optional<MediaStatus> check_protection(const BlockFormat& format,
                                            const ProtectionControl& control,
                                            const ProtectedBlock& block) {
  ProtectionInformation information;
  std::memcpy(&information, block.metadata + format.protection_offset(), sizeof(information));
  const bool escaped =
      information.application_tag() == kUncheckedApplicationTag &&
      (format.protection_type != 3 || information.reference_tag() == kUncheckedReferenceTag);
  if (escaped) return std::nullopt;
  if (control.check_guard && information.guard() != guard_of(format, block)) {
    return MediaStatus::kGuardCheckError;
  }
  const std::uint16_t differs = information.application_tag() ^ control.application_tag;
  if (control.check_application_tag && (differs & control.application_tag_mask) != 0) {
    return MediaStatus::kApplicationTagCheckError;
  }
  if (control.check_reference_tag && format.protection_type != 3 &&
      information.reference_tag() != expected_reference_tag(format, control, block.index)) {
    return MediaStatus::kReferenceTagCheckError;
  }
  return std::nullopt;
}

}  // namespace nvublk::target
