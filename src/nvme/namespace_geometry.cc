#include "nvme/namespace_geometry.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "nvme/command.h"

namespace nvublk::nvme {

namespace {

// Larger requests gain nothing and cost buffers in every tag.
constexpr std::uint64_t kMaxTransferBytes = 1024 * 1024;
// NLB of Write Zeroes has 16 bits, 0's based. [NVM 1.1 §3.3.8]
constexpr std::uint64_t kMaxWriteZeroesBlocks = 65536;

// Vendors have stripes of some hundred KiB; more is nonsense.
constexpr std::uint8_t kMaxStripeShift = 16;

std::uint32_t clamp32(std::uint64_t value) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

void set_deallocate_limits(BlockGeometry& geometry, const spec::IdentifyNamespace& data,
                           const ControllerProfile& controller) {
  if (!controller.identify.supports_dataset_management()) {
    return;
  }
  geometry.max_discard_blocks = clamp32(std::min(controller.nvm.deallocate_range_block_count(),
                                                 controller.nvm.deallocate_block_count()));
  std::uint64_t granularity_blocks = 1;
  if (data.has_optimal_fields()) {
    granularity_blocks = data.preferred_deallocate_block_count();
  }
  geometry.discard_granularity_bytes = clamp32(granularity_blocks * geometry.block_size_bytes);
}

void set_write_zeroes_limit(BlockGeometry& geometry, const ControllerProfile& controller) {
  if (!controller.identify.supports_write_zeroes() ||
      controller.quirks.has(Quirk::kNoWriteZeroes)) {
    return;
  }
  const std::uint64_t limit_bytes =
      controller.nvm.write_zeroes_limit_bytes(controller.cap.min_page_bytes());
  geometry.max_write_zeroes_blocks =
      clamp32(std::min(limit_bytes / geometry.block_size_bytes, kMaxWriteZeroesBlocks));
}

void set_preferred_sizes(BlockGeometry& geometry, const spec::IdentifyNamespace& data) {
  geometry.physical_block_size_bytes = geometry.block_size_bytes;
  if (!data.has_optimal_fields()) {
    return;
  }
  // The kernel wants powers of two; others tell applications nothing useful.
  const std::uint64_t preferred =
      std::uint64_t{data.preferred_write_block_count()} * geometry.block_size_bytes;
  if (std::has_single_bit(preferred) && preferred <= 4096) {
    geometry.physical_block_size_bytes = static_cast<std::uint32_t>(preferred);
  }
  if (data.nows.get() != 0) {
    geometry.optimal_io_size_bytes =
        clamp32(std::uint64_t{data.optimal_write_block_count()} * geometry.block_size_bytes);
  }
}

void set_zones(BlockGeometry& geometry, const NamespaceProfile& profile,
               const ControllerProfile& controller) {
  if (!profile.format.zones) {
    return;
  }
  const ZonedFormat& format = *profile.format.zones;
  geometry.zones.zone_blocks = format.zone_blocks;
  geometry.zones.max_open = format.max_open_zones;
  geometry.zones.max_active = format.max_active_zones;
  const std::uint64_t limit = controller.append_limit_bytes.value_or(spec::kNoLimit);
  geometry.zones.max_append_bytes =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(limit, geometry.max_transfer_bytes));
}

// What Linux cannot show. Its own driver refuses the same.
std::string zones_unusable(const NamespaceProfile& profile) {
  if (!profile.format.zones) {
    return "it is zoned (command set 2), and the controller does not say how";
  }
  const std::uint64_t blocks = profile.format.zones->zone_blocks;
  if (!std::has_single_bit(blocks)) {
    return "it is zoned, and its zones have " + std::to_string(blocks) +
           " blocks, which is not a power of two";
  }
  if (profile.format.zones->variable_capacity) {
    return "it is zoned, and the capacities of its zones change";
  }
  return "";
}

constexpr std::uint32_t kNoReferenceTag = 3;
// Protection information with a guard of 16 bits.
constexpr std::uint32_t kProtectionBytes = 8;

// An application of a block device has no way to metadata. The controller inserts and strips it
// where it is protection information and nothing else. [NVM 1.1 §5.3.1]
std::string metadata_unusable(const NamespaceProfile& profile) {
  const std::uint32_t bytes = profile.data.metadata_bytes();
  if (bytes == 0) {
    return "";
  }
  const std::string what =
      "its format has " + std::to_string(bytes) + " bytes of metadata for each block";
  if (profile.data.protection_type() == 0) {
    return what + ", which a block device cannot show; format it without";
  }
  if (bytes != kProtectionBytes || profile.format.guard_bits != 16 ||
      profile.format.storage_tag_bits != 0) {
    return what +
           ", which are more than protection information with 16 bit guards; format it with 8 "
           "bytes, or without";
  }
  return "";
}

std::uint32_t optimal_boundary_blocks(const NamespaceProfile& profile,
                                      const ControllerProfile& controller) {
  const std::uint32_t boundary = profile.data.noiob.get();
  const std::uint8_t shift = controller.identify.vendor[3];
  if (boundary != 0 || !controller.quirks.has(Quirk::kVendorStripe) || shift == 0 ||
      shift > kMaxStripeShift) {
    return boundary;
  }
  const std::uint64_t stripe_bytes = controller.cap.min_page_bytes() << shift;
  return clamp32(stripe_bytes / std::max(profile.data.block_bytes(), 512u));
}

}  // namespace

BlockGeometry namespace_geometry(const NamespaceProfile& profile,
                                 const ControllerProfile& controller,
                                 const TransportLimits& transport) {
  const spec::IdentifyNamespace& data = profile.data;
  BlockGeometry geometry;
  geometry.block_size_bytes = std::max(data.block_bytes(), 512u);
  geometry.size_blocks = data.nsze.get();
  std::uint64_t transfer = std::min(
      kMaxTransferBytes, controller.identify.max_transfer_bytes(controller.cap.min_page_bytes()));
  if (transport.max_transfer_bytes != 0) {
    transfer = std::min<std::uint64_t>(transfer, transport.max_transfer_bytes);
  }
  transfer -= transfer % geometry.block_size_bytes;
  geometry.max_transfer_bytes =
      std::max(static_cast<std::uint32_t>(transfer), geometry.block_size_bytes);
  geometry.boundary_blocks = optimal_boundary_blocks(profile, controller);
  geometry.segment_boundary_mask = transport.prp ? 4095 : 0;
  geometry.volatile_write_cache = controller.identify.has_volatile_write_cache();
  geometry.fua = true;
  geometry.read_only = data.write_protected();
  set_preferred_sizes(geometry, data);
  set_deallocate_limits(geometry, data, controller);
  set_write_zeroes_limit(geometry, controller);
  set_zones(geometry, profile, controller);
  return geometry;
}

std::string namespace_unusable(const NamespaceProfile& profile) {
  const spec::IdentifyNamespace& data = profile.data;
  if (profile.ids.csi == static_cast<std::uint8_t>(spec::CommandSetIdentifier::kZonedNamespace)) {
    if (std::string reason = zones_unusable(profile); !reason.empty()) {
      return reason;
    }
  } else if (profile.ids.csi != static_cast<std::uint8_t>(spec::CommandSetIdentifier::kNvm)) {
    return "its command set (CSI " + std::to_string(profile.ids.csi) +
           ") is not the NVM or the Zoned Namespace command set";
  }
  if (!data.active() || data.nsze.get() == 0) {
    return "it has no capacity";
  }
  const std::uint32_t block = data.block_bytes();
  if (block < 512 || block > 65536) {
    return "its block size (" + std::to_string(block) + " bytes) is not one of 512 to 65536";
  }
  if (data.nsze.get() > std::numeric_limits<std::int64_t>::max() / block) {
    return "it is larger than a block device can be";
  }
  return metadata_unusable(profile);
}

BlockProtection namespace_protection(const NamespaceProfile& profile) {
  const std::uint32_t type = profile.data.protection_type();
  BlockProtection protection;
  if (type != 0) {
    protection.io_flags = command::kIoProtectionAction | command::kIoCheckGuard;
    // Blocks of type 3 have reference tags that mean nothing to the controller.
    protection.reference_tag = type != kNoReferenceTag;
    protection.io_flags |= protection.reference_tag ? command::kIoCheckReferenceTag : 0;
  }
  return protection;
}

NamespaceIdentity namespace_identity(const NamespaceProfile& profile) {
  return {profile.nsid, profile.ids.uuid, profile.ids.nguid, profile.ids.eui64};
}

}  // namespace nvublk::nvme
