#pragma once

// One active namespace of a controller, as a BlockDevice. Its identity and format do not change
// while it lives; its size may. Control-shard-affine, but for the queues, which belong to their
// shards.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/block.h"
#include "nvme/controller_profile.h"
#include "nvme/namespace_queue.h"
#include "nvme/spec/log_pages.h"

namespace nvublk::nvme {

/// What tells a namespace from all others; empty strings for what it does not report.
/// [Base 2.1 §5.1.13.2.3]
struct NamespaceIdentity {
  std::uint32_t nsid = 0;  ///< of its controller; 1 and up
  std::string uuid;        ///< 8-4-4-4-12 hexadecimal digits
  std::string nguid;       ///< 32 hexadecimal digits
  std::string eui64;       ///< 16 hexadecimal digits
  bool operator==(const NamespaceIdentity&) const = default;
};

/// What has become of a namespace.
enum class NamespaceFate : std::uint8_t {
  kActive,
  kRemoved,   ///< the controller does not list it any more
  kReplaced,  ///< its NSID has another identity or another format now
};

/// See the top of this file. Its controller makes it.
class Namespace final : public BlockDevice {
 public:
  /// `unusable`: see unusable().
  Namespace(NamespaceIdentity identity, const BlockGeometry& geometry, std::string unusable);

  /// 1 and up.
  std::uint32_t nsid() const { return identity_.nsid; }
  /// Stays as it is.
  const NamespaceIdentity& identity() const { return identity_; }
  /// Why it cannot be shown as a block device (a metadata format, a command set we do not know),
  /// empty if it can.
  const std::string& unusable() const { return unusable_; }

  /// What block requests have to respect; the size in it may change.
  const BlockGeometry& geometry() const override { return geometry_; }
  unsigned queue_count() const override { return static_cast<unsigned>(queues_.size()); }
  unsigned queue_shard(unsigned index) const override { return queues_[index]->shard_id(); }
  /// Below queue_count(). Only where the controller has block queues, not with application_queues.
  BlockQueue& queue(unsigned index) override { return *queues_[index]; }

  /// The controller's: adds a queue on the shard of `queue_pair`.
  void add_queue(QueuePair& queue_pair);

  /// False once the controller no longer has it, or has another one behind its NSID; then commands
  /// to it fail with EIO.
  bool active() const { return fate_ == NamespaceFate::kActive; }
  /// What became of it.
  NamespaceFate fate() const { return fate_; }
  /// A sentence that says why it is not active; empty while it is.
  const std::string& inactive_reason() const { return inactive_reason_; }
  /// The controller's: it is not active any more, and `reason` says why.
  void deactivate(NamespaceFate fate, std::string reason);
  /// From now on block requests to it fail with EIO, waiting ones at once. Those that the
  /// controller has and does not answer end with their queue's connection, which is closed for
  /// that; what else was on it is sent again with the next one.
  void abandon();
  /// What Identify said.
  const NamespaceProfile& profile() const { return profile_; }
  /// The controller's, before any queue is added.
  void set_profile(const NamespaceProfile& profile) { profile_ = profile; }
  /// Takes a new size over. What else has changed, in words, and then nothing is taken over: it is
  /// another namespace, or another format; empty if nothing has.
  std::string update(const NamespaceProfile& profile, const BlockGeometry& geometry);
  /// Optimized unless the controller reported another state. [Base 2.1 §8.1.1]
  spec::AnaState ana_state() const { return ana_state_; }
  /// The controller's.
  void set_ana_state(spec::AnaState state) { ana_state_ = state; }

 private:
  NamespaceIdentity identity_;
  BlockGeometry geometry_;
  std::string unusable_;
  NamespaceFate fate_ = NamespaceFate::kActive;
  std::string inactive_reason_;
  spec::AnaState ana_state_ = spec::AnaState::kOptimized;
  NamespaceProfile profile_;
  std::vector<std::unique_ptr<NamespaceQueue>> queues_;
};

}  // namespace nvublk::nvme
