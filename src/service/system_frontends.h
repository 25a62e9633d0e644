#pragma once

// The front-ends of the machine: ublk where the kernel has it, else FUSE with a loop device on top.
// Control-shard-affine.

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "engine/blocking_call.h"
#include "engine/shard_set.h"
#include "service/frontends.h"

namespace nvublk::service {

class SystemFrontends final : public Frontends {
 public:
  explicit SystemFrontends(const ShardSet& shards);

  void choose(FrontendWish wish, Chosen chosen) override;
  Status check_unused(const std::string& device) const override;
  Status discard(int id) const override;
  std::string cannot_show(const std::string& name, const BlockGeometry& geometry) const override;
  std::unique_ptr<BlockExport> make(const std::string& name, BlockDevice& device,
                                    const BlockExportOptions& options) override;
  /// No choose() is under way.
  bool idle() const { return waiting_.empty() && !looking_.busy(); }

 private:
  void look();

  const ShardSet shards_;
  std::deque<std::pair<FrontendWish, Chosen>> waiting_;
  BlockingCall looking_;
};

}  // namespace nvublk::service
