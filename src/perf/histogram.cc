#include "perf/histogram.h"

#include <algorithm>
#include <bit>

namespace nvublk::perf {

// Below 2^kBits each value has a bucket; above, the leading one is implied and the kBits bits after
// it choose one.
std::size_t Histogram::bucket_of(std::uint64_t value_ns) {
  const std::uint64_t value = std::min(value_ns, kMaxNs);
  if (value < (std::uint64_t{1} << kBits)) {
    return value;
  }
  const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kBits;
  return (std::size_t{shift} << kBits) + (value >> shift);
}

std::uint64_t Histogram::begin_of(std::size_t bucket) {
  if (bucket < (std::size_t{2} << kBits)) {
    return bucket;
  }
  const std::size_t shift = (bucket >> kBits) - 1;
  return (bucket - (shift << kBits)) << shift;
}

void Histogram::add(std::uint64_t value_ns) {
  buckets_[bucket_of(value_ns)]++;
  count_++;
  min_ = std::min(min_, value_ns);
  max_ = std::max(max_, value_ns);
  sum_ += static_cast<double>(value_ns);
}

void Histogram::add(const Histogram& other) {
  for (std::size_t i = 0; i < kBuckets; i++) {
    buckets_[i] += other.buckets_[i];
  }
  count_ += other.count_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

double Histogram::average_ns() const {
  return count_ == 0 ? 0 : sum_ / static_cast<double>(count_);
}

std::uint64_t Histogram::percentile_ns(double percent) const {
  const double wanted = static_cast<double>(count_) * percent / 100;
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; i++) {
    seen += buckets_[i];
    if (buckets_[i] != 0 && static_cast<double>(seen) >= wanted) {
      return std::min(begin_of(i + 1), max_);
    }
  }
  return max_;
}

void Histogram::each(const std::function<void(std::uint64_t, std::uint64_t, std::uint64_t,
                                              std::uint64_t)>& row) const {
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; i++) {
    if (buckets_[i] != 0) {
      seen += buckets_[i];
      row(begin_of(i), begin_of(i + 1), buckets_[i], seen);
    }
  }
}

}  // namespace nvublk::perf
