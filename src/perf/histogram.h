#pragma once

// How long I/Os took: counts in buckets whose width grows with the value, at most 1/128 of it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace nvublk::perf {

class Histogram {
 public:
  static constexpr std::uint64_t kMaxNs = (std::uint64_t{1} << 40) - 1;  ///< 18 minutes

  /// Larger values count as kMaxNs in their bucket; minimum, maximum and average are exact.
  void add(std::uint64_t value_ns);
  void add(const Histogram& other);

  std::uint64_t count() const { return count_; }
  std::uint64_t min_ns() const { return count_ == 0 ? 0 : min_; }
  std::uint64_t max_ns() const { return max_; }
  double average_ns() const;
  /// The end of the bucket in which `percent` (0 to 100) of all values have been seen; 0 if there
  /// are none.
  std::uint64_t percentile_ns(double percent) const;

  /// Calls `row(begin_ns, end_ns, count, seen)` for each bucket that is not empty, in order; `seen`
  /// counts up to and with it. Ends are exclusive.
  void each(const std::function<void(std::uint64_t begin_ns, std::uint64_t end_ns,
                                     std::uint64_t count, std::uint64_t seen)>& row) const;

 private:
  static constexpr unsigned kBits = 7;  // buckets for each power of two, as a power of two
  static constexpr std::size_t kBuckets = std::size_t{40 - kBits + 1} << kBits;

  static std::size_t bucket_of(std::uint64_t value_ns);
  static std::uint64_t begin_of(std::size_t bucket);

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t min_ = UINT64_MAX;
  std::uint64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace nvublk::perf
