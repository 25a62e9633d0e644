#pragma once

// Blocks of a namespace as they go over the wire: data, with its metadata behind each block where
// the format has any, and protection information inserted, checked and stripped. The range exists;
// buffers have wire_block_bytes() for each block.

#include <cstdint>
#include <span>

#include "nvme/spec/status.h"
#include "target/namespace.h"

namespace nvublk::target {

/// What one Copy may cover. [NVM 1.1 §3.3.2]
struct CopyLimits {
  std::uint32_t ranges = 128;      ///< MSRC
  std::uint16_t range_blocks = 1;  ///< MSSRL
  std::uint32_t blocks = 1;        ///< MCL

  static CopyLimits of(const BlockFormat& format) {
    CopyLimits limits;
    limits.range_blocks = static_cast<std::uint16_t>((2u << 20) / format.data_bytes);
    limits.blocks = 4u * limits.range_blocks;
    return limits;
  }
};

struct BlockRange {
  std::uint64_t lba = 0;
  std::uint32_t blocks = 0;
};

std::uint32_t wire_block_bytes(const BlockFormat& format, const ProtectionControl& control);

nvme::spec::NvmeStatus read_blocks(const Namespace& ns, const BlockRange& range,
                                   const ProtectionControl& control, std::uint8_t* wire);
/// Writes nothing when a check fails.
nvme::spec::NvmeStatus write_blocks(const Namespace& ns, const BlockRange& range,
                                    const ProtectionControl& control,
                                    std::span<const std::uint8_t> wire);
nvme::spec::NvmeStatus compare_blocks(const Namespace& ns, const BlockRange& range,
                                      const ProtectionControl& control,
                                      std::span<const std::uint8_t> wire);
/// `deallocate`: also the metadata becomes that of blocks that were never written to.
nvme::spec::NvmeStatus zero_blocks(const Namespace& ns, std::uint64_t lba, std::uint64_t blocks,
                                   const ProtectionControl& control, bool deallocate);

}  // namespace nvublk::target
