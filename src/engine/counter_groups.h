#pragma once

// Counters of the things that a shard works with besides its ring, such as an RDMA device. The
// shard counts, any thread reads, without a lock: a group stays as long as its table, also when
// what it counts has gone, and goes on counting if that comes back.

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/counter.h"

namespace nvublk {

/// The counters of one thing. Added to by the owning shard, read by any thread.
class CounterGroup {
 public:
  static constexpr std::size_t kMaxCounters = 16;  ///< in one group

  /// `labels`: one static text per counter, at most kMaxCounters.
  CounterGroup(std::string_view kind, std::string_view name, std::span<const char* const> labels);

  const std::string& kind() const { return kind_; }  ///< "rdma"
  const std::string& name() const { return name_; }  ///< "mlx5_0"
  /// Names of the counters, in their order.
  std::span<const char* const> labels() const { return labels_; }
  /// That of labels()[index].
  Counter& counter(std::size_t index) { return counters_[index]; }
  /// That of labels()[index], to read; any thread.
  const Counter& counter(std::size_t index) const { return counters_[index]; }

 private:
  const std::string kind_;
  const std::string name_;
  const std::span<const char* const> labels_;
  std::array<Counter, kMaxCounters> counters_;
};

/// All groups of one shard.
class CounterGroups {
 public:
  static constexpr std::size_t kMaxGroups = 16;  ///< in one table

  /// The group `name` of `kind`, made if there is none; by the owning shard only. Those that find
  /// the table full share its last group.
  CounterGroup& get(std::string_view kind, std::string_view name,
                    std::span<const char* const> labels);
  /// How many there are; any thread.
  std::size_t size() const { return size_.load(std::memory_order_acquire); }
  /// `index` < size(); any thread.
  const CounterGroup& at(std::size_t index) const { return *groups_[index]; }

 private:
  std::array<std::unique_ptr<CounterGroup>, kMaxGroups> groups_;
  // Who sees a size sees the groups that it counts: stored with release, read with acquire.
  std::atomic<std::size_t> size_{0};
};

}  // namespace nvublk
