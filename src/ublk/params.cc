#include "ublk/params.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>

namespace nvublk::ublk {

namespace {

// The driver accepts no logical block larger than a page. [drivers/block/ublk_drv.c]
constexpr std::uint32_t kPageBytes = 4096;
constexpr std::uint32_t kLargestBufferBytes = 1024 * 1024;
constexpr std::uint32_t kUsualBufferBytes = 128 * 1024;
constexpr std::uint32_t kUsualBudgetBytes = 64 * 1024 * 1024;
constexpr std::uint32_t kLargestBudgetBytes = 256 * 1024 * 1024;

std::uint8_t shift_of(std::uint32_t power_of_two) {
  return static_cast<std::uint8_t>(std::countr_zero(power_of_two));
}

/// `blocks` in sectors, as much of it as fits and the kernel can put into one bio.
std::uint32_t clamped_sectors(std::uint32_t blocks, std::uint32_t block_size_bytes) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::uint32_t>::max() / abi::kSectorBytes;
  const std::uint64_t sectors_per_block = block_size_bytes / abi::kSectorBytes;
  const std::uint64_t sectors = std::min(blocks * sectors_per_block, kLargest);
  return static_cast<std::uint32_t>(sectors / sectors_per_block * sectors_per_block);
}

/// What the kernel takes as optimal I/O size, a power of two; the physical block if there is no
/// better one (the interface cannot say "none").
std::uint32_t optimal_bytes(const BlockGeometry& geometry, std::uint32_t physical) {
  const std::uint32_t optimal = geometry.optimal_io_size_bytes;
  return std::has_single_bit(optimal) && optimal > physical ? optimal : physical;
}

Status check(const BlockGeometry& geometry, std::uint32_t buffer_bytes) {
  const std::uint32_t block = geometry.block_size_bytes;
  if (!std::has_single_bit(block) || block < abi::kSectorBytes || block > kPageBytes) {
    return fail(ErrorCode::kUnsupported, "a ublk device cannot have blocks of " +
                                             std::to_string(block) +
                                             " bytes; format the namespace with 512 or 4096");
  }
  if (geometry.size_blocks == 0) {
    return fail(ErrorCode::kInvalidArgument, "the namespace has no blocks");
  }
  if (geometry.size_blocks > std::numeric_limits<std::int64_t>::max() / block) {
    return fail(ErrorCode::kUnsupported, "the namespace is larger than Linux can address");
  }
  if (geometry.max_transfer_bytes < kPageBytes || buffer_bytes < kPageBytes) {
    return fail(ErrorCode::kUnsupported, "the device takes transfers of " +
                                             std::to_string(geometry.max_transfer_bytes) +
                                             " bytes at most; Linux needs 4096");
  }
  return {};
}

abi::ParamBasic basic_params(const BlockGeometry& geometry, bool read_only,
                             std::uint32_t buffer_bytes) {
  const std::uint32_t block = geometry.block_size_bytes;
  const std::uint32_t physical = std::has_single_bit(geometry.physical_block_size_bytes)
                                     ? std::max(geometry.physical_block_size_bytes, block)
                                     : block;
  abi::ParamBasic basic{};
  basic.logical_bs_shift = shift_of(block);
  basic.physical_bs_shift = shift_of(physical);
  basic.io_min_shift = shift_of(physical);
  basic.io_opt_shift = shift_of(optimal_bytes(geometry, physical));
  const std::uint32_t transfer = std::min(geometry.max_transfer_bytes, buffer_bytes);
  basic.max_sectors = transfer / block * (block / abi::kSectorBytes);
  // Like the kernel's own NVMe driver: only boundaries that are a power of two.
  if (geometry.zones.zone_blocks != 0) {
    basic.chunk_sectors =
        static_cast<std::uint32_t>(geometry.zones.zone_blocks * (block / abi::kSectorBytes));
  } else if (std::has_single_bit(geometry.boundary_blocks)) {
    basic.chunk_sectors = clamped_sectors(geometry.boundary_blocks, block);
  }
  basic.dev_sectors = geometry.size_blocks * (block / abi::kSectorBytes);
  // virt_boundary_mask stays 0: the kernel copies into the tag's contiguous buffer, so the shape of
  // the request's own pages never reaches the device.
  if (read_only || geometry.read_only) {
    basic.attrs |= abi::kAttrReadOnly;
  }
  if (geometry.volatile_write_cache) {
    basic.attrs |= abi::kAttrVolatileCache;
    if (geometry.fua) {
      basic.attrs |= abi::kAttrFua;
    }
  }
  return basic;
}

abi::ParamDiscard discard_params(const BlockGeometry& geometry) {
  const std::uint32_t block = geometry.block_size_bytes;
  abi::ParamDiscard discard{};
  discard.discard_granularity = std::max(geometry.discard_granularity_bytes, block);
  discard.discard_alignment = geometry.discard_alignment_bytes;
  discard.max_discard_sectors = clamped_sectors(geometry.max_discard_blocks, block);
  discard.max_write_zeroes_sectors = clamped_sectors(geometry.max_write_zeroes_blocks, block);
  discard.max_discard_segments = discard.max_discard_sectors > 0 ? 1 : 0;
  return discard;
}

// More than there are zones is refused by the kernel, and means no limit.
std::uint32_t zone_limit(std::uint32_t limit, std::uint64_t zone_count) {
  return limit < zone_count ? limit : 0;
}

abi::ParamZoned zoned_params(const BlockGeometry& geometry, std::uint32_t buffer_bytes) {
  const std::uint64_t zone_count = geometry.size_blocks / geometry.zones.zone_blocks;
  const std::uint32_t block = geometry.block_size_bytes;
  abi::ParamZoned zoned{};
  zoned.max_active_zones = zone_limit(geometry.zones.max_active, zone_count);
  zoned.max_open_zones = zone_limit(geometry.zones.max_open, zone_count);
  if (zoned.max_active_zones != 0) {
    zoned.max_open_zones = std::min(zoned.max_open_zones, zoned.max_active_zones);
  }
  const std::uint32_t append =
      std::min({geometry.zones.max_append_bytes, geometry.max_transfer_bytes, buffer_bytes});
  zoned.max_zone_append_sectors = append / block * (block / abi::kSectorBytes);
  return zoned;
}

Status check_zones(const BlockGeometry& geometry) {
  const std::uint64_t sectors =
      geometry.zones.zone_blocks * (geometry.block_size_bytes / abi::kSectorBytes);
  if (!std::has_single_bit(sectors) || sectors > std::numeric_limits<std::int32_t>::max()) {
    return fail(ErrorCode::kUnsupported,
                "its zones have " + std::to_string(sectors) +
                    " sectors; Linux needs a power of two, and less than 2 TiB");
  }
  if (geometry.size_blocks < geometry.zones.zone_blocks) {
    return fail(ErrorCode::kUnsupported, "the namespace is smaller than one of its zones");
  }
  return {};
}

}  // namespace

std::uint32_t io_buffer_bytes(const BlockGeometry& geometry, unsigned tags) {
  tags = std::clamp(tags, 1U, kLargestBudgetBytes / kPageBytes);
  const std::uint32_t per_tag =
      std::max(kUsualBudgetBytes / tags, std::min(kUsualBufferBytes, kLargestBudgetBytes / tags));
  // A power of two, so that large requests are split where drives and targets have their
  // boundaries.
  const std::uint32_t limit = std::min(kLargestBufferBytes, std::bit_floor(per_tag));
  if (geometry.max_transfer_bytes >= limit) {
    return limit;
  }
  return (geometry.max_transfer_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

Result<abi::Params> make_params(const BlockGeometry& geometry, bool read_only,
                                std::uint32_t buffer_bytes) {
  if (Status status = check(geometry, buffer_bytes); !status) {
    return std::unexpected(std::move(status.error()));
  }
  abi::Params params{};
  params.len = abi::kParamsLength;
  params.types = abi::kParamBasic;
  params.basic = basic_params(geometry, read_only, buffer_bytes);
  if (geometry.max_discard_blocks > 0 || geometry.max_write_zeroes_blocks > 0) {
    params.types |= abi::kParamDiscard;
    params.discard = discard_params(geometry);
  }
  if (geometry.zones.zone_blocks != 0) {
    if (Status status = check_zones(geometry); !status) {
      return std::unexpected(std::move(status.error()));
    }
    params.len = abi::kZonedParamsLength;
    params.types |= abi::kParamZoned;
    params.zoned = zoned_params(geometry, buffer_bytes);
  }
  return params;
}

namespace {

// A back-end without zones can take over what has some: it refuses what asks for them.
Status check_same_zones(const abi::Params& then, const abi::Params& now) {
  if ((now.types & abi::kParamZoned) == 0) {
    return {};
  }
  if ((then.types & abi::kParamZoned) == 0) {
    return fail(ErrorCode::kUnsupported, "the namespace is zoned now, the device is not");
  }
  if (then.basic.chunk_sectors != now.basic.chunk_sectors) {
    return fail(ErrorCode::kUnsupported, "the namespace has zones of " +
                                             std::to_string(now.basic.chunk_sectors) +
                                             " sectors now, the device was made with " +
                                             std::to_string(then.basic.chunk_sectors));
  }
  if (then.zoned.max_zone_append_sectors > now.zoned.max_zone_append_sectors) {
    return fail(ErrorCode::kUnsupported,
                "the controller takes smaller appends to zones now than the device was made for");
  }
  return {};
}

}  // namespace

Status check_compatible(const abi::Params& then, const abi::Params& now) {
  const auto bytes = [](unsigned shift) { return std::to_string(1U << (shift & 31)); };
  if (then.basic.logical_bs_shift != now.basic.logical_bs_shift) {
    return fail(ErrorCode::kUnsupported,
                "the namespace has blocks of " + bytes(now.basic.logical_bs_shift) +
                    " bytes now, the device was made with " + bytes(then.basic.logical_bs_shift));
  }
  if (then.basic.max_sectors > now.basic.max_sectors) {
    return fail(ErrorCode::kUnsupported, "the controller takes only " +
                                             std::to_string(now.basic.max_sectors) +
                                             " sectors per request now, the device was made for " +
                                             std::to_string(then.basic.max_sectors));
  }
  if (Status fits = check_same_zones(then, now); !fits) {
    return fits;
  }
  constexpr std::uint32_t kCaches = abi::kAttrVolatileCache;
  if ((now.basic.attrs & kCaches) != 0 && (then.basic.attrs & kCaches) == 0) {
    return fail(ErrorCode::kUnsupported,
                "the controller has a volatile write cache now, which the kernel would not flush");
  }
  const bool discards = (then.types & abi::kParamDiscard) != 0;
  if (discards && (then.discard.max_discard_sectors > now.discard.max_discard_sectors ||
                   then.discard.max_write_zeroes_sectors > now.discard.max_write_zeroes_sectors)) {
    return fail(ErrorCode::kUnsupported,
                "the controller takes smaller discard or write zeroes commands now than the device "
                "was made for");
  }
  return {};
}

}  // namespace nvublk::ublk
