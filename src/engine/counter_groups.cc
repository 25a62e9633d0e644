#include "engine/counter_groups.h"

#include "engine/check.h"

namespace nvublk {

CounterGroup::CounterGroup(std::string_view kind, std::string_view name,
                           std::span<const char* const> labels)
    : kind_(kind), name_(name), labels_(labels) {
  CHECK(labels.size() <= kMaxCounters);
}

CounterGroup& CounterGroups::get(std::string_view kind, std::string_view name,
                                 std::span<const char* const> labels) {
  const std::size_t size = size_.load(std::memory_order_relaxed);
  for (std::size_t index = 0; index < size; index++) {
    CounterGroup& group = *groups_[index];
    if (group.kind() == kind && group.name() == name) {
      return group;
    }
  }
  if (size == kMaxGroups) {
    return *groups_.back();
  }
  groups_[size] = std::make_unique<CounterGroup>(kind, name, labels);
  size_.store(size + 1, std::memory_order_release);
  return *groups_[size];
}

}  // namespace nvublk
