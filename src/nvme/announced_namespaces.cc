#include "nvme/announced_namespaces.h"

#include <algorithm>
#include <iterator>

namespace nvublk::nvme {

namespace {

// The target is between two statements, but its processor may be busy with something else.
constexpr Duration kPauses[] = {milliseconds(100), seconds(1), seconds(5)};

}  // namespace

void AnnouncedNamespaces::announce(std::span<const std::uint32_t> nsids) {
  announced_.insert(announced_.end(), nsids.begin(), nsids.end());
  attempts_ = 0;
}

void AnnouncedNamespaces::look_begins() {
  missing_.insert(missing_.end(), announced_.begin(), announced_.end());
  announced_.clear();
  std::ranges::sort(missing_);
  const auto twice = std::ranges::unique(missing_);
  missing_.erase(twice.begin(), twice.end());
}

std::optional<Duration> AnnouncedNamespaces::look_ended(std::span<const std::uint32_t> accounted) {
  std::erase_if(missing_, [accounted](std::uint32_t nsid) {
    return std::ranges::find(accounted, nsid) != accounted.end();
  });
  if (missing_.empty() || attempts_ == std::size(kPauses)) {
    missing_.clear();
    attempts_ = 0;
    return std::nullopt;
  }
  return kPauses[attempts_++];
}

void AnnouncedNamespaces::clear() {
  announced_.clear();
  missing_.clear();
  attempts_ = 0;
}

}  // namespace nvublk::nvme
