#include "nvme/namespace.h"

#include <cerrno>
#include <utility>

#include "nvme/namespace_geometry.h"

namespace nvublk::nvme {

namespace {

std::string or_none(const std::string& identifier) {
  return identifier.empty() ? "none" : identifier;
}

// Whether `identifier` of the namespace is another one now; says so in `text`.
void compare(const char* name, const std::string& before, const std::string& now,
             std::string& text) {
  if (before != now) {
    text += std::string(text.empty() ? "" : "; ") + "its " + name + " was " + or_none(before) +
            " and is " + or_none(now);
  }
}

std::string format_text(const NamespaceProfile& profile) {
  const std::string zones =
      profile.format.zones
          ? " in zones of " + std::to_string(profile.format.zones->zone_blocks) + " blocks"
          : "";
  return std::to_string(profile.data.block_bytes()) + " + " +
         std::to_string(profile.data.metadata_bytes()) + " bytes" + zones;
}

}  // namespace

Namespace::Namespace(NamespaceIdentity identity, const BlockGeometry& geometry,
                     std::string unusable)
    : identity_(std::move(identity)), geometry_(geometry), unusable_(std::move(unusable)) {}

void Namespace::add_queue(QueuePair& queue_pair) {
  queues_.push_back(std::make_unique<NamespaceQueue>(queue_pair, identity_.nsid, geometry_,
                                                     namespace_protection(profile_)));
}

void Namespace::deactivate(NamespaceFate fate, std::string reason) {
  fate_ = fate;
  inactive_reason_ = std::move(reason);
  for (const std::unique_ptr<NamespaceQueue>& queue : queues_) {
    queue->retire(EIO);
  }
}

void Namespace::abandon() {
  for (const std::unique_ptr<NamespaceQueue>& queue : queues_) {
    queue->abandon(EIO);
  }
}

std::string Namespace::update(const NamespaceProfile& profile, const BlockGeometry& geometry) {
  std::string changed;
  const NamespaceIdentity now = namespace_identity(profile);
  compare("UUID", identity_.uuid, now.uuid, changed);
  compare("NGUID", identity_.nguid, now.nguid, changed);
  compare("EUI64", identity_.eui64, now.eui64, changed);
  if (!changed.empty()) {
    return "it is another namespace now: " + changed;
  }
  if (format_text(profile_) != format_text(profile) || profile.ids.csi != profile_.ids.csi ||
      (profile.data.flbas & 0x10) != (profile_.data.flbas & 0x10) ||
      profile.data.dps != profile_.data.dps) {
    return "it was formatted: a block had " + format_text(profile_) + " and has " +
           format_text(profile);
  }
  if (geometry.max_transfer_bytes < geometry_.max_transfer_bytes) {
    return "commands may transfer " + std::to_string(geometry.max_transfer_bytes) +
           " bytes now; it was " + std::to_string(geometry_.max_transfer_bytes);
  }
  profile_ = profile;
  if (geometry_.size_blocks != geometry.size_blocks) {
    geometry_.size_blocks = geometry.size_blocks;
    for (const std::unique_ptr<NamespaceQueue>& queue : queues_) {
      queue->resize(geometry.size_blocks);
    }
  }
  unusable_ = namespace_unusable(profile);
  return "";
}

}  // namespace nvublk::nvme
