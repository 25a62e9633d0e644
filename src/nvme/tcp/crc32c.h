#pragma once

// CRC32C, the digest of NVMe/TCP headers and data. [TCP 1.1 §3.3.1.1]

#include <cstddef>
#include <cstdint>

namespace nvublk::nvme::tcp {

/// A CRC32C under way: add bytes in any number of pieces.
class Crc32c {
 public:
  void add(const void* data, std::size_t length_bytes);
  /// Copies `length_bytes` and adds them while they are in the cache.
  void add_copy(void* to, const void* from, std::size_t length_bytes);
  std::uint32_t value() const { return ~state_; }

 private:
  std::uint32_t state_ = 0xffffffff;
};

inline std::uint32_t crc32c(const void* data, std::size_t length_bytes) {
  Crc32c crc;
  crc.add(data, length_bytes);
  return crc.value();
}

}  // namespace nvublk::nvme::tcp
