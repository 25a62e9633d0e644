#pragma once

// Namespaces that events have named but that no look has found. Linux's target announces a
// namespace a moment before it lists it, so a first look may come too early: it is looked for again
// a few times before its name is forgotten. Pure.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/time.h"

namespace nvublk::nvme {

class AnnouncedNamespaces {
 public:
  /// An event has named these. (One that names none may mean any: there is nothing to look for.)
  void announce(std::span<const std::uint32_t> nsids);
  /// A look begins: it answers for all that has been announced up to now.
  void look_begins();
  /// It has ended; `accounted`: the namespaces that are there, or were and have just gone. When to
  /// look for missing() again; nullopt: there is no need, or it has been tried often enough.
  std::optional<Duration> look_ended(std::span<const std::uint32_t> accounted);
  const std::vector<std::uint32_t>& missing() const { return missing_; }
  void clear();

 private:
  std::vector<std::uint32_t> announced_;  ///< since the last look began
  std::vector<std::uint32_t> missing_;    ///< what the look that runs has to find
  std::size_t attempts_ = 0;
};

}  // namespace nvublk::nvme
