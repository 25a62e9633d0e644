#include "ublk/device_mark.h"

#include <sys/random.h>

#include "engine/time.h"

namespace nvublk::ublk {

namespace {

constexpr std::uint64_t kServerMark = 0x6e767562;  // "nvub"

}  // namespace

std::uint64_t DeviceMark::flags() const {
  return std::uint64_t{key} << 48 | std::uint64_t{owner} << 32 | kServerMark;
}

std::optional<DeviceMark> DeviceMark::read(std::uint64_t flags) {
  if ((flags & 0xffffffff) != kServerMark) {
    return std::nullopt;
  }
  return DeviceMark{static_cast<std::uint16_t>(flags >> 32),
                    static_cast<std::uint16_t>(flags >> 48)};
}

std::uint16_t owner_of(std::string_view run_directory) {
  // FNV-1a, folded: the same in every version of this program.
  std::uint32_t hash = 2166136261U;
  for (const char c : run_directory) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  }
  return static_cast<std::uint16_t>(hash ^ hash >> 16);
}

std::uint16_t make_key() {
  std::uint16_t key = 0;
  while (key == 0) {
    if (::getrandom(&key, sizeof(key), GRND_NONBLOCK) != sizeof(key)) {
      // Early at boot there is no randomness yet; the time does as well here.
      key = static_cast<std::uint16_t>(Clock::now().time_since_epoch().count() | 1);
    }
  }
  return key;
}

}  // namespace nvublk::ublk
