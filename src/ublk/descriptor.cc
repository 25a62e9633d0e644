#include "ublk/descriptor.h"

#include <algorithm>
#include <cerrno>

namespace nvublk::ublk {

namespace {

/// Sectors to blocks, within the device and not more than `max_blocks`.
int decode_range(const abi::IoDescriptor& descriptor, const RequestLimits& limits,
                 std::uint64_t max_blocks, BlockRequest& request) {
  const std::uint32_t sectors_per_block = limits.block_size_bytes / abi::kSectorBytes;
  if (descriptor.nr_sectors == 0 || descriptor.nr_sectors % sectors_per_block != 0 ||
      descriptor.start_sector % sectors_per_block != 0) {
    return EINVAL;
  }
  request.lba = descriptor.start_sector / sectors_per_block;
  request.blocks = descriptor.nr_sectors / sectors_per_block;
  if (request.lba >= limits.size_blocks || request.blocks > limits.size_blocks - request.lba ||
      request.blocks > max_blocks) {
    return EINVAL;
  }
  return 0;
}

int decode_change(const abi::IoDescriptor& descriptor, const RequestLimits& limits,
                  std::uint64_t max_blocks, BlockRequest& request) {
  if (limits.read_only) {
    return EROFS;
  }
  return decode_range(descriptor, limits, max_blocks, request);
}

// A zone, by its first block; these have no length.
int decode_zone(const abi::IoDescriptor& descriptor, const RequestLimits& limits,
                BlockRequest& request) {
  if (limits.read_only) {
    return EROFS;
  }
  const std::uint32_t sectors_per_block = limits.block_size_bytes / abi::kSectorBytes;
  request.lba = descriptor.start_sector / sectors_per_block;
  const bool first =
      descriptor.start_sector % sectors_per_block == 0 && request.lba % limits.zone_blocks == 0;
  return first && request.lba < limits.size_blocks ? 0 : EINVAL;
}

int decode_report(const abi::IoDescriptor& descriptor, const RequestLimits& limits,
                  BlockRequest& request) {
  request.lba = descriptor.start_sector / (limits.block_size_bytes / abi::kSectorBytes);
  request.blocks = std::min(descriptor.nr_sectors, limits.max_transfer_bytes / kBlockZoneBytes - 1);
  return request.blocks != 0 && request.lba < limits.size_blocks ? 0 : EINVAL;
}

int decode_zoned(const abi::IoDescriptor& descriptor, const RequestLimits& limits,
                 BlockRequest& request) {
  if (limits.zone_blocks == 0) {
    return EOPNOTSUPP;
  }
  switch (descriptor.op_flags & abi::kOpMask) {
    case abi::kOpZoneOpen:
      request.op = BlockOp::kZoneOpen;
      return decode_zone(descriptor, limits, request);
    case abi::kOpZoneClose:
      request.op = BlockOp::kZoneClose;
      return decode_zone(descriptor, limits, request);
    case abi::kOpZoneFinish:
      request.op = BlockOp::kZoneFinish;
      return decode_zone(descriptor, limits, request);
    case abi::kOpZoneReset:
      request.op = BlockOp::kZoneReset;
      return decode_zone(descriptor, limits, request);
    case abi::kOpZoneResetAll:
      request.op = BlockOp::kZoneResetAll;
      return limits.read_only ? EROFS : 0;
    case abi::kOpZoneAppend:
      request.op = BlockOp::kZoneAppend;
      request.fua = (descriptor.op_flags & abi::kIoFlagFua) != 0;
      return decode_change(descriptor, limits, limits.max_append_bytes / limits.block_size_bytes,
                           request);
    case abi::kOpReportZones:
      request.op = BlockOp::kZoneReport;
      return decode_report(descriptor, limits, request);
    default:
      return EOPNOTSUPP;
  }
}

}  // namespace

RequestLimits RequestLimits::of(const BlockGeometry& geometry, bool read_only,
                                std::uint32_t buffer_bytes) {
  RequestLimits limits;
  limits.block_size_bytes = geometry.block_size_bytes;
  limits.size_blocks = geometry.size_blocks;
  limits.max_transfer_bytes = std::min(geometry.max_transfer_bytes, buffer_bytes);
  limits.max_discard_blocks = geometry.max_discard_blocks;
  limits.max_write_zeroes_blocks = geometry.max_write_zeroes_blocks;
  limits.max_append_bytes = std::min(geometry.zones.max_append_bytes, limits.max_transfer_bytes);
  limits.zone_blocks = geometry.zones.zone_blocks;
  limits.read_only = read_only || geometry.read_only;
  return limits;
}

int decode(const abi::IoDescriptor& descriptor, const RequestLimits& limits,
           BlockRequest& request) {
  const std::uint64_t max_transfer_blocks = limits.max_transfer_bytes / limits.block_size_bytes;
  request.fua = false;
  request.no_unmap = false;
  request.lba = 0;
  request.blocks = 0;
  switch (descriptor.op_flags & abi::kOpMask) {
    case abi::kOpRead:
      request.op = BlockOp::kRead;
      return decode_range(descriptor, limits, max_transfer_blocks, request);
    case abi::kOpWrite:
      request.op = BlockOp::kWrite;
      request.fua = (descriptor.op_flags & abi::kIoFlagFua) != 0;
      return decode_change(descriptor, limits, max_transfer_blocks, request);
    case abi::kOpFlush:
      request.op = BlockOp::kFlush;
      return 0;
    case abi::kOpDiscard:
      request.op = BlockOp::kDiscard;
      return decode_change(descriptor, limits, limits.max_discard_blocks, request);
    case abi::kOpWriteZeroes:
      request.op = BlockOp::kWriteZeroes;
      request.fua = (descriptor.op_flags & abi::kIoFlagFua) != 0;
      request.no_unmap = (descriptor.op_flags & abi::kIoFlagNoUnmap) != 0;
      return decode_change(descriptor, limits, limits.max_write_zeroes_blocks, request);
    default:
      return decode_zoned(descriptor, limits, request);
  }
}

}  // namespace nvublk::ublk
