#include "nvme/namespace.h"

#include <utility>

namespace nvublk::nvme {

Namespace::Namespace(NamespaceIdentity identity, const BlockGeometry& geometry,
                     std::string unusable)
    : identity_(std::move(identity)), geometry_(geometry), unusable_(std::move(unusable)) {}

void Namespace::add_queue(QueuePair& queue_pair) {
  queues_.push_back(std::make_unique<NamespaceQueue>(queue_pair, identity_.nsid, geometry_));
}

}  // namespace nvublk::nvme
