// NamespaceQueue, requests of zoned namespaces.

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "nvme/command.h"
#include "nvme/namespace_queue.h"
#include "nvme/zone_command.h"

namespace nvublk::nvme {

namespace {

using command::ZoneSendAction;

ZoneSendAction action_of(BlockOp op) {
  switch (op) {
    case BlockOp::kZoneOpen:
      return ZoneSendAction::kOpen;
    case BlockOp::kZoneClose:
      return ZoneSendAction::kClose;
    case BlockOp::kZoneFinish:
      return ZoneSendAction::kFinish;
    default:
      return ZoneSendAction::kReset;
  }
}

static_assert(sizeof(spec::ZoneDescriptor) == kBlockZoneBytes);
static_assert(sizeof(spec::ZoneReportHeader) == kBlockZoneBytes);

constexpr std::uint32_t report_bytes(std::uint32_t zones) {
  return (zones + 1) * kBlockZoneBytes;
}

BlockZone decode(const std::byte* data) {
  spec::ZoneDescriptor descriptor;
  std::memcpy(static_cast<void*>(&descriptor), data, sizeof(descriptor));
  BlockZone zone;
  zone.lba = descriptor.zslba.get();
  zone.capacity_blocks = descriptor.zcap.get();
  zone.write_pointer = descriptor.wp.get();
  zone.state = static_cast<BlockZoneState>(descriptor.state());
  return zone;
}

}  // namespace

bool NamespaceQueue::valid_for_zones(const BlockRequest& request) const {
  const BlockZones& zones = geometry_.zones;
  if (zones.zone_blocks == 0) {
    return false;
  }
  if (request.op == BlockOp::kZoneResetAll) {
    return true;
  }
  if (request.lba >= geometry_.size_blocks) {
    return false;
  }
  if (request.op == BlockOp::kZoneReport) {
    return request.blocks != 0 && request.blocks < geometry_.max_transfer_bytes / kBlockZoneBytes;
  }
  if (request.lba % zones.zone_blocks != 0) {
    return false;
  }
  return request.op != BlockOp::kZoneAppend ||
         (request.blocks != 0 &&
          request.blocks <= zones.max_append_bytes / geometry_.block_size_bytes);
}

void NamespaceQueue::build_zoned(const BlockRequest& block, Request& request) const {
  switch (block.op) {
    case BlockOp::kZoneAppend: {
      // The controller replaces the reference tag of the zone's first block by the true one.
      const std::uint32_t remap = protection_.reference_tag ? spec::kAppendRemapsReferenceTag : 0;
      request.sqe = command::zone_append(
          nsid_, block.lba, block.blocks,
          (block.fua ? command::kIoForceUnitAccess : 0) | protection_.io_flags | remap);
      request.set_data(block.data, block.blocks * geometry_.block_size_bytes);
      protect(block, request);
      return;
    }
    case BlockOp::kZoneReport:
      request.sqe = command::zone_report(
          {.nsid = nsid_, .lba = block.lba, .length_bytes = report_bytes(block.blocks)});
      request.set_data(block.data, report_bytes(block.blocks));
      return;
    default:
      request.sqe = command::zone_send(nsid_, action_of(block.op), block.lba,
                                       block.op == BlockOp::kZoneResetAll);
      return;
  }
}

int NamespaceQueue::finish_zoned(BlockRequest& block, const spec::CompletionEntry& entry) const {
  if (block.op == BlockOp::kZoneReport) {
    return finish_report(block);
  }
  const std::uint64_t lba = entry.result();
  const std::uint64_t zone_end = block.lba + geometry_.zones.zone_blocks;
  if (lba < block.lba || lba >= zone_end || block.blocks > zone_end - lba) {
    return EIO;
  }
  block.lba = lba;
  return 0;
}

// In place: what is written lies before what is read.
int NamespaceQueue::finish_report(BlockRequest& block) const {
  spec::ZoneReportHeader head;
  std::memcpy(static_cast<void*>(&head), block.data, sizeof(head));
  const std::uint64_t count = std::min<std::uint64_t>(head.zone_count.get(), block.blocks);
  const std::uint64_t zone_blocks = geometry_.zones.zone_blocks;
  const std::uint64_t first = block.lba / zone_blocks * zone_blocks;
  for (std::uint64_t i = 0; i < count; i++) {
    const BlockZone zone = decode(block.data + (i + 1) * kBlockZoneBytes);
    if (zone.lba != first + i * zone_blocks || zone.lba >= geometry_.size_blocks ||
        zone.capacity_blocks > zone_blocks) {
      return EIO;
    }
    std::memcpy(block.data + i * sizeof(zone), &zone, sizeof(zone));
  }
  block.blocks = static_cast<std::uint32_t>(count);
  return 0;
}

}  // namespace nvublk::nvme
