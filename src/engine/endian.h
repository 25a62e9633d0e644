#pragma once

// Integers with a fixed byte order, for structures that cross a wire or that a device reads. They
// are trivially copyable, have alignment 1 and no implicit conversions: reading one is an explicit
// .get(), so that a forgotten conversion does not compile.

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace nvublk {

/// A little-endian unsigned integer of `Bytes` bytes, held in a `T`.
template <std::unsigned_integral T, std::size_t Bytes = sizeof(T)>
class Le {
 public:
  constexpr Le() = default;
  /// Explicit, as all conversions are.
  constexpr explicit Le(T value) { set(value); }

  /// The value in the machine's byte order.
  constexpr T get() const {
    if (!std::is_constant_evaluated() && kAsInMemory) {
      T value;
      __builtin_memcpy(&value, bytes_.data(), sizeof(value));
      return value;
    }
    T value = 0;
    for (std::size_t i = 0; i < Bytes; i++) {
      value = static_cast<T>(value | static_cast<T>(static_cast<T>(bytes_[i]) << (8 * i)));
    }
    return value;
  }
  /// Stores the low `Bytes` bytes of `value`.
  constexpr void set(T value) {
    if (!std::is_constant_evaluated() && kAsInMemory) {
      __builtin_memcpy(bytes_.data(), &value, Bytes);
      return;
    }
    for (std::size_t i = 0; i < Bytes; i++) {
      bytes_[i] = static_cast<std::uint8_t>(value >> (8 * i));
    }
  }
  /// As set().
  constexpr Le& operator=(T value) {
    set(value);
    return *this;
  }
  friend constexpr bool operator==(const Le&, const Le&) = default;

 private:
  // One instruction instead of one for each byte, which the compiler does not always see.
  static constexpr bool kAsInMemory =
      Bytes == sizeof(T) && std::endian::native == std::endian::little;

  std::array<std::uint8_t, Bytes> bytes_{};
};

///@{
/// Unsigned little-endian integers of 16, 24, 32, 48 and 64 bits.
using Le16 = Le<std::uint16_t>;
using Le24 = Le<std::uint32_t, 3>;
using Le32 = Le<std::uint32_t>;
using Le48 = Le<std::uint64_t, 6>;
using Le64 = Le<std::uint64_t>;
///@}

/// A 16-byte little-endian counter, as the log pages have them; `low()` is what tools print unless
/// `high()` is not zero.
struct Le128 {
  Le64 low_part;   ///< bytes 0 to 7
  Le64 high_part;  ///< bytes 8 to 15
  /// The value modulo 2 to the power of 64.
  constexpr std::uint64_t low() const { return low_part.get(); }
  /// What does not fit into low().
  constexpr std::uint64_t high() const { return high_part.get(); }
};

static_assert(sizeof(Le16) == 2 && sizeof(Le24) == 3 && sizeof(Le32) == 4 && sizeof(Le64) == 8);
static_assert(sizeof(Le128) == 16 && alignof(Le64) == 1);
static_assert(std::is_trivially_copyable_v<Le64>);

}  // namespace nvublk
