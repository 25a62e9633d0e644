#include "nvme/namespace.h"

#include <utility>

namespace nvublk::nvme {

Namespace::Namespace(NamespaceIdentity identity, const BlockGeometry& geometry,
                     std::string unusable)
    : identity_(std::move(identity)), geometry_(geometry), unusable_(std::move(unusable)) {}

void Namespace::add_queue(QueuePair& queue_pair) {
  queues_.push_back(std::make_unique<NamespaceQueue>(queue_pair, identity_.nsid, geometry_));
}

bool Namespace::update(const NamespaceProfile& profile, const BlockGeometry& geometry) {
  BlockGeometry resized = geometry_;
  resized.size_blocks = geometry.size_blocks;
  if (resized != geometry || profile.data.flbas != profile_.data.flbas ||
      profile.data.dps != profile_.data.dps) {
    return false;
  }
  profile_ = profile;
  geometry_ = geometry;
  for (const std::unique_ptr<NamespaceQueue>& queue : queues_) {
    queue->resize(geometry.size_blocks);
  }
  return true;
}

}  // namespace nvublk::nvme
