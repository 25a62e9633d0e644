#pragma once

#include <atomic>
#include <cstdint>

namespace nvublk {

/// A counter that one shard writes and any thread reads: plain loads and stores, no locked
/// instruction. What a reader sees may be a moment old.
class Counter {
 public:
  /// The counting shard only.
  void add(std::uint64_t amount = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  /// The counting shard only.
  void subtract(std::uint64_t amount = 1) {
    value_.store(value_.load(std::memory_order_relaxed) - amount, std::memory_order_relaxed);
  }
  /// The counting shard only.
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  /// Any thread.
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace nvublk
