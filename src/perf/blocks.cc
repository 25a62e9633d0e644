#include "perf/blocks.h"

#include <algorithm>
#include <cstring>

namespace nvublk::perf {

namespace {

constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;

// Spreads every bit of `value` over all. (The finalizer of splitmix64)
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

std::uint64_t first_word(std::uint64_t seed, std::uint64_t unit, std::uint32_t generation) {
  return mix(mix(seed + unit * kOdd) + generation);
}

}  // namespace

std::uint64_t Random::next() {
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return state_ * 0x2545f4914f6cdd1d;
}

std::uint64_t Random::below(std::uint64_t limit) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(next()) * limit) >> 64);
}

std::uint64_t Visits::next() {
  if (random_) {
    return numbers_.below(unit_count_);
  }
  const std::uint64_t unit = at_;
  at_ = at_ + 1 == unit_count_ ? 0 : at_ + 1;
  return unit;
}

std::uint64_t Contents::take(std::uint64_t unit) {
  while (busy_[unit]) {
    unit = unit + 1 == unit_count() ? 0 : unit + 1;
  }
  busy_[unit] = true;
  return unit;
}

// Block sizes are multiples of 512, so the words fill the data exactly.
void Contents::begin_write(std::uint64_t unit, std::span<std::byte> data) {
  // 0 means never written, also after four billion writes of one unit.
  generations_[unit] = std::max(1u, generations_[unit] + 1);
  std::uint64_t word = first_word(seed_, unit, generations_[unit]);
  for (std::size_t at = 0; at + sizeof(word) <= data.size(); at += sizeof(word)) {
    std::memcpy(data.data() + at, &word, sizeof(word));
    word += kOdd;
  }
}

bool Contents::matches(std::uint64_t unit, std::span<const std::byte> data) const {
  if (!written(unit)) {
    return true;
  }
  std::uint64_t word = first_word(seed_, unit, generations_[unit]);
  for (std::size_t at = 0; at + sizeof(word) <= data.size(); at += sizeof(word)) {
    if (std::memcmp(data.data() + at, &word, sizeof(word)) != 0) {
      return false;
    }
    word += kOdd;
  }
  return true;
}

}  // namespace nvublk::perf
