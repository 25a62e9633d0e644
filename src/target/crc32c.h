#pragma once

// CRC32C as the digests of NVMe/TCP use it. [TCP 1.1 §3.3.1.1]

#include <cstddef>
#include <cstdint>

namespace nvublk::target {

/// A running digest: update() with each piece in order, then value().
class Crc32c {
 public:
  void update(const void* data, std::size_t length);
  std::uint32_t value() const { return ~state_; }

 private:
  std::uint32_t state_ = 0xffffffff;
};

inline std::uint32_t crc32c(const void* data, std::size_t length) {
  Crc32c crc;
  crc.update(data, length);
  return crc.value();
}

}  // namespace nvublk::target
