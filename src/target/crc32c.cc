#include "target/crc32c.h"

#include <algorithm>
#include <climits>

#include <isa-l/crc.h>

namespace nvublk::target {

// ISA-L neither seeds with ones nor inverts at the end: both are done here.
void Crc32c::update(const void* data, std::size_t length) {
  auto* at = static_cast<unsigned char*>(const_cast<void*>(data));
  while (length != 0) {
    const std::size_t part = std::min<std::size_t>(length, INT_MAX);
    state_ = crc32_iscsi(at, static_cast<int>(part), state_);
    at += part;
    length -= part;
  }
}

}  // namespace nvublk::target
