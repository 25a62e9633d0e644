#pragma once

// End-to-end protection information made and checked by the host, with 16-bit guards. Pure.
// [NVM 1.1 §5.3]

#include <cstdint>
#include <optional>
#include <span>

#include <sys/uio.h>

#include "nvme/command.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/protection.h"
#include "nvme/spec/status.h"

namespace nvublk::nvme {

/// A block and its metadata.
struct MetadataFormat {
  std::uint32_t block_bytes = 512;   ///< of data
  std::uint32_t metadata_bytes = 0;  ///< for each block
  std::uint8_t protection_type = 0;  ///< 0 none, 1 to 3
  bool protection_first = false;     ///< in the metadata's first bytes, not its last ones
  bool extends_block = false;        ///< metadata follows each block in the data

  /// That which the namespace is formatted with.
  static MetadataFormat of(const spec::IdentifyNamespace& data);

  /// Whether blocks carry protection information.
  bool is_protected() const {
    return protection_type != 0 && metadata_bytes >= spec::kProtectionBytes;
  }
  /// Whether the controller makes and takes all metadata of a command with these flags, so that
  /// none is transferred. [NVM 1.1 §5.3.2]
  bool strips(std::uint32_t io_flags) const {
    return is_protected() && metadata_bytes == spec::kProtectionBytes &&
           (io_flags & command::kIoProtectionAction) != 0;
  }
  /// Bytes of data that a command with these flags has for each block.
  std::uint32_t data_bytes(std::uint32_t io_flags) const {
    return block_bytes + (extends_block && !strips(io_flags) ? metadata_bytes : 0);
  }
  /// Bytes of the separate metadata buffer for each block.
  std::uint32_t separate_bytes(std::uint32_t io_flags) const {
    return extends_block || strips(io_flags) ? 0 : metadata_bytes;
  }
};

/// Where `blocks` blocks are in memory: in `data`, with their metadata where the format extends
/// blocks, else in one piece at `metadata`.
struct ProtectedMemory {
  std::span<const iovec> data;  ///< of all blocks, in order
  /// Of all blocks, without gaps; null where the format extends blocks.
  std::byte* metadata = nullptr;
  std::uint64_t blocks = 0;  ///< how many
};

/// What is wrong with which block.
struct ProtectionError {
  std::uint64_t block = 0;  ///< 0 is the first
  /// kGuardCheckError, kApplicationTagCheckError or kReferenceTagCheckError.
  spec::MediaStatus status = spec::MediaStatus::kGuardCheckError;
  bool operator==(const ProtectionError&) const = default;
};

/// CRC-16/T10-DIF in pieces: `crc` is what the bytes before gave, 0 at first.
std::uint16_t guard_crc(std::uint16_t crc, std::span<const std::byte> bytes);

/// The reference tag of the block after `count` others: it counts up, but for type 3.
std::uint32_t reference_tag_after(const MetadataFormat& format, std::uint32_t reference_tag,
                                  std::uint64_t count);

/// Whether a command with these flags and tags can be: type 1 has the LBA for its reference tag,
/// type 3 cannot check it. [NVM 1.1 §5.3.3]
bool valid_protection(const MetadataFormat& format, std::uint32_t io_flags,
                      const command::ProtectionTags& tags, std::uint64_t lba);

/// Writes the protection information of all blocks; `tags` are those of the first one. The memory
/// has room for all blocks and their metadata.
void generate_protection(const MetadataFormat& format, const ProtectedMemory& memory,
                         const command::ProtectionTags& tags);

/// Checks what `io_flags` (kIoCheck...) ask for. Blocks with the escape are not checked.
/// [NVM 1.1 §5.3.3]
std::optional<ProtectionError> check_protection(const MetadataFormat& format,
                                                const ProtectedMemory& memory,
                                                const command::ProtectionTags& tags,
                                                std::uint32_t io_flags);

}  // namespace nvublk::nvme
