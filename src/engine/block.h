#pragma once

// The block seam: where front-ends (ublk, FUSE) and back-ends (NVMe namespaces) meet. Neither knows
// the other. A request stays on the shard it was submitted on, and its completion runs there.

#include <cstddef>
#include <cstdint>

#include "engine/block_zone.h"
#include "engine/intrusive_list.h"
#include "engine/time.h"

namespace nvublk {

/// What a request asks of a device.
enum class BlockOp : std::uint8_t {
  kRead,
  kWrite,
  kFlush,
  kDiscard,
  kWriteZeroes,
  // Of devices with zones. A zone is named by its first block.
  kZoneAppend,  ///< a write to where the zone's write pointer is, which `lba` says afterwards
  kZoneReport,  ///< of up to `blocks` zones from the one with `lba` on; see BlockRequest::data
  kZoneOpen,
  kZoneClose,
  kZoneFinish,
  kZoneReset,
  kZoneResetAll,
};

/// What may hold data of the device: reads, writes, appends.
constexpr bool transfers_blocks(BlockOp op) {
  return op == BlockOp::kRead || op == BlockOp::kWrite || op == BlockOp::kZoneAppend;
}

/// What a device can do; front-ends hand it to the kernel so that requests arrive already the right
/// size. Sizes in logical blocks unless the name says bytes; 0 means "not supported" for the
/// operations and "no limit" for boundaries.
struct BlockGeometry {
  std::uint32_t block_size_bytes = 512;  ///< of a logical block, the unit of all requests
  std::uint32_t physical_block_size_bytes =
      512;  ///< what the device writes without read-modify-write
  /// Of which requests had best be a multiple; 0: not known.
  std::uint32_t optimal_io_size_bytes = 0;
  std::uint64_t size_blocks = 0;                  ///< of the whole device
  std::uint32_t max_transfer_bytes = 128 * 1024;  ///< largest read or write
  std::uint32_t boundary_blocks = 0;              ///< requests should not cross multiples of this
  std::uint32_t segment_boundary_mask = 0;        ///< page size - 1 where PRPs need it, else 0
  std::uint32_t max_discard_blocks = 0;           ///< in one kDiscard
  std::uint32_t discard_granularity_bytes = 0;    ///< what is discarded is a multiple of this
  std::uint32_t discard_alignment_bytes = 0;      ///< offset of the first such multiple
  std::uint32_t max_write_zeroes_blocks = 0;      ///< in one kWriteZeroes
  bool volatile_write_cache = false;  ///< a write may be lost with power until it is flushed
  bool fua = false;                   ///< BlockRequest::fua is understood
  bool read_only = false;             ///< writes fail
  BlockZones zones;                   ///< of devices that are written zone by zone

  /// The size of the whole device.
  std::uint64_t size_bytes() const { return size_blocks * block_size_bytes; }
  bool operator==(const BlockGeometry&) const = default;
};

/// Where a front-end's tag has its data: fixed for the life of the queue, so that a back-end can
/// register it once.
struct BlockBuffer {
  std::byte* data = nullptr;       ///< its first byte
  std::uint32_t length_bytes = 0;  ///< from there on
};

class BlockQueue;
struct BlockRequestTag;

/// One request. The front-end owns it and must not touch it between submit() and `done`.
struct BlockRequest : ListHook<BlockRequestTag> {
  /// `request.error` is 0 or a positive errno. Runs on the submitting shard, in the completion
  /// phase.
  using Done = void (*)(BlockRequest& request);

  BlockOp op = BlockOp::kRead;  ///< what is asked for
  bool fua = false;             ///< write, append: durable before it completes
  bool no_unmap = false;        ///< write zeroes: keep the blocks allocated
  std::uint16_t tag =
      0;  ///< which of the queue's buffers `data` is, for back-ends that registered it
  std::uint32_t blocks = 0;  ///< how many, from `lba` on
  std::uint64_t lba = 0;     ///< the first block
  /// Blocks * block_size bytes for reads, writes and appends. A report needs kBlockZoneBytes for
  /// each zone and once more, and has made of them, when it is done, `blocks` BlockZones.
  std::byte* data = nullptr;
  Done done = nullptr;  ///< never null
  int error = 0;        ///< 0, or a positive errno; set before `done` runs

  BlockQueue* queue = nullptr;  ///< back-end's: where it was submitted
  std::uint32_t attempts = 0;   ///< back-end's: how often a device took it and may take it again
  Instant retry_at{};           ///< back-end's: not to be given to a device again before
};

/// A back-end's queue on one shard. Shard-affine.
class BlockQueue {
 public:
  virtual ~BlockQueue() = default;
  /// Takes the request; it completes later through request.done, possibly before submit() returns.
  /// The request must respect the geometry; one that does not completes with EINVAL. Never fails
  /// for lack of resources: it waits inside.
  virtual void submit(BlockRequest& request) = 0;
};

/// A back-end's device. Of `geometry` only the size may change, on the control shard; queues are
/// handed out by index and used on the shard that queue_shard() names.
class BlockDevice {
 public:
  virtual ~BlockDevice() = default;
  /// Valid as long as the device.
  virtual const BlockGeometry& geometry() const = 0;
  /// How many queues there are, one per I/O shard that the device uses.
  virtual unsigned queue_count() const = 0;
  /// The id (Shard::id) of the shard on which queue `index` must be used.
  virtual unsigned queue_shard(unsigned index) const = 0;
  /// Queue `index`, below queue_count(); lives as long as the device.
  virtual BlockQueue& queue(unsigned index) = 0;
};

}  // namespace nvublk
