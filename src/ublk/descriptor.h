#pragma once

// From the kernel's description of a request, in memory shared with it, to a BlockRequest. Pure;
// whatever the descriptor holds, the request is within the limits or refused.

#include "engine/block.h"
#include "ublk/ublk_abi.h"

namespace nvublk::ublk {

/// What a request may ask for.
struct RequestLimits {
  std::uint32_t block_size_bytes = 512;
  std::uint64_t size_blocks = 0;
  std::uint32_t max_transfer_bytes = 0;  ///< of the device and of the tag's buffer
  std::uint32_t max_discard_blocks = 0;
  std::uint32_t max_write_zeroes_blocks = 0;
  std::uint32_t max_append_bytes = 0;
  std::uint64_t zone_blocks = 0;  ///< 0: there are no zones
  bool read_only = false;

  static RequestLimits of(const BlockGeometry& geometry, bool read_only,
                          std::uint32_t buffer_bytes);
};

/// Fills op, fua, no_unmap, blocks and lba of `request`; returns 0, or the errno with which the
/// request is to be refused. A zone report asks for as many zones as the tag's buffer can hold.
int decode(const abi::IoDescriptor& descriptor, const RequestLimits& limits, BlockRequest& request);

}  // namespace nvublk::ublk
