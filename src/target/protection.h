#pragma once

// A namespace's block format and its protection information, as the controller handles them.
// [NVM 1.1 §5.3]

#include <cstdint>
#include <optional>
#include <span>

#include "nvme/spec/protection.h"
#include "nvme/spec/sqe.h"
#include "nvme/spec/status.h"

namespace nvublk::target {

/// What a block is made of.
struct BlockFormat {
  std::uint32_t data_bytes = 4096;
  std::uint32_t metadata_bytes = 0;
  std::uint8_t protection_type = 0;  ///< 0 none, 1 to 3
  bool protection_first = false;     ///< in the metadata's first bytes, not its last ones

  std::uint32_t protection_offset() const {
    return protection_first ? 0 : metadata_bytes - nvme::spec::kProtectionBytes;
  }
};

/// What a command says of protection information.
struct ProtectionControl {
  bool action = false;  ///< PRACT: the controller inserts or strips it
  bool check_guard = false;
  bool check_application_tag = false;
  bool check_reference_tag = false;
  std::uint32_t reference_tag = 0;
  std::uint16_t application_tag = 0;
  std::uint16_t application_tag_mask = 0;

  static ProtectionControl of(const nvme::spec::SubmissionEntry& sqe);
};

/// CRC-16/T10-DIF, in pieces: `crc` is what the bytes before gave.
std::uint16_t crc16_t10(std::uint16_t crc, std::span<const std::uint8_t> bytes);

/// Metadata that comes with each block over the wire: none where PRACT has the controller make or
/// take all of it.
std::uint32_t wire_metadata_bytes(const BlockFormat& format, const ProtectionControl& control);

/// Why a command for blocks from `lba` cannot be, if so.
std::optional<nvme::spec::NvmeStatus> check_control(const BlockFormat& format,
                                                    const ProtectionControl& control,
                                                    std::uint64_t lba);

/// One block: its data, all of its metadata, and its place in the command.
struct ProtectedBlock {
  std::span<const std::uint8_t> data;
  std::uint8_t* metadata = nullptr;
  std::uint32_t index = 0;
};

/// Writes the protection information of `block` into its metadata.
void insert_protection(const BlockFormat& format, const ProtectionControl& control,
                       const ProtectedBlock& block);
/// What is wrong with it, as far as `control` wants it checked.
std::optional<nvme::spec::MediaStatus> check_protection(const BlockFormat& format,
                                                        const ProtectionControl& control,
                                                        const ProtectedBlock& block);

}  // namespace nvublk::target
