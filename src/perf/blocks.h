#pragma once

// Which blocks a job visits, and what they should contain. A job's range is cut into units of one
// I/O each; no unit is under way twice at a time when contents are verified, so that it is known
// what each read has to find.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace nvublk::perf {

/// Cheap pseudo-random numbers. (xorshift64*)
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed | 1) {}
  std::uint64_t next();
  /// 0 to `limit` - 1; not 0.
  std::uint64_t below(std::uint64_t limit);

 private:
  std::uint64_t state_;
};

/// The next unit to visit.
class Visits {
 public:
  /// `unit_count` is not 0.
  Visits(std::uint64_t unit_count, bool random, std::uint64_t seed)
      : unit_count_(unit_count), random_(random), numbers_(seed) {}
  std::uint64_t next();

 private:
  const std::uint64_t unit_count_;
  const bool random_;
  Random numbers_;
  std::uint64_t at_ = 0;
};

/// What was written to each unit. Shard-affine.
class Contents {
 public:
  /// At most this many units, to keep the table small.
  static constexpr std::uint64_t kMaxUnits = std::uint64_t{1} << 24;

  Contents(std::uint64_t unit_count, std::uint64_t seed)
      : generations_(unit_count), busy_(unit_count), seed_(seed) {}

  std::uint64_t unit_count() const { return generations_.size(); }
  /// `unit`, or the next one after it that nothing is under way for. There is one if fewer I/Os
  /// than units are under way.
  std::uint64_t take(std::uint64_t unit);
  void release(std::uint64_t unit) { busy_[unit] = false; }

  bool written(std::uint64_t unit) const { return generations_[unit] != 0; }
  /// A write of `unit` begins: `data` becomes what it writes.
  void begin_write(std::uint64_t unit, std::span<std::byte> data);
  /// The write failed: nobody knows what is there.
  void forget(std::uint64_t unit) { generations_[unit] = 0; }
  /// Whether `data` is what was written last; anything is right where nothing was written.
  bool matches(std::uint64_t unit, std::span<const std::byte> data) const;

 private:
  std::vector<std::uint32_t> generations_;  ///< 0: never written here
  std::vector<bool> busy_;
  const std::uint64_t seed_;
};

}  // namespace nvublk::perf
