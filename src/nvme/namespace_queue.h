#pragma once

// Internal: a namespace on one I/O shard: turns block requests into commands of the shard's queue
// pair. It never splits: front-ends respect the geometry. Shard-affine.

#include <cstdint>

#include "engine/block.h"
#include "nvme/queue_pair.h"

namespace nvublk::nvme {

/// Protection information that the controller makes and checks by itself (PRACT).
struct BlockProtection {
  std::uint32_t io_flags = 0;  ///< of reads and writes, in cdw12; 0: the format has none
  bool reference_tag = false;  ///< a block's is the low half of its address
};

class NamespaceQueue final : public BlockQueue {
 public:
  NamespaceQueue(QueuePair& queue_pair, std::uint32_t nsid, const BlockGeometry& geometry,
                 const BlockProtection& protection = {})
      : queue_pair_(queue_pair), nsid_(nsid), geometry_(geometry), protection_(protection) {}

  unsigned shard_id() const { return queue_pair_.shard().id(); }
  void submit(BlockRequest& request) override;
  /// Any shard, as all that follow: takes effect with the queue's next turn.
  void resize(std::uint64_t size_blocks) {
    queue_pair_.shard().post([this, size_blocks] { geometry_.size_blocks = size_blocks; });
  }

  /// From then on every request fails with `error_number`, waiting ones included.
  void retire(int error_number);
  /// The same, and does not wait for the controller's answers either.
  void abandon(int error_number);
  /// What requests fail with; 0 while they do not.
  int retired() const { return retired_error_; }

  /// Fills `request` for `block`. [NVM 1.1 §3.2, §3.3] [ZNS 1.2 §3.4]
  void build(const BlockRequest& block, Request& request) const;
  /// What the answer to a command that succeeded is for `block`; not 0: an errno.
  int finish(BlockRequest& block, const spec::CompletionEntry& entry) const {
    return block.op == BlockOp::kZoneAppend || block.op == BlockOp::kZoneReport
               ? finish_zoned(block, entry)
               : 0;
  }

 private:
  bool valid(const BlockRequest& request) const;
  bool valid_for_zones(const BlockRequest& request) const;
  void build_zoned(const BlockRequest& block, Request& request) const;
  int finish_zoned(BlockRequest& block, const spec::CompletionEntry& entry) const;
  int finish_report(BlockRequest& block) const;
  void protect(const BlockRequest& block, Request& request) const {
    if (protection_.reference_tag) [[unlikely]] {
      set_reference_tag(block, request);
    }
  }
  void set_reference_tag(const BlockRequest& block, Request& request) const;

  QueuePair& queue_pair_;
  const std::uint32_t nsid_;
  BlockGeometry geometry_;
  const BlockProtection protection_;
  int retired_error_ = 0;
};

}  // namespace nvublk::nvme
