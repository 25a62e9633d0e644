#include "nvme/tcp/crc32c.h"

#include <algorithm>
#include <cstring>

#include <isa-l/crc.h>

namespace nvublk::nvme::tcp {

namespace {

// Small enough to be in the L1 cache when the CRC reads what the copy has just read.
constexpr std::size_t kCopyStepBytes = 4096;
constexpr std::size_t kAddStepBytes = std::size_t{1} << 30;  // ISA-L takes an int

}  // namespace

void Crc32c::add(const void* data, std::size_t length_bytes) {
  // ISA-L does not write through this pointer; its signature has no const.
  auto* at = static_cast<unsigned char*>(const_cast<void*>(data));
  while (length_bytes > 0) {
    const std::size_t step = std::min(length_bytes, kAddStepBytes);
    state_ = crc32_iscsi(at, static_cast<int>(step), state_);
    at += step;
    length_bytes -= step;
  }
}

void Crc32c::add_copy(void* to, const void* from, std::size_t length_bytes) {
  auto* target = static_cast<std::byte*>(to);
  const auto* source = static_cast<const std::byte*>(from);
  while (length_bytes > 0) {
    const std::size_t step = std::min(length_bytes, kCopyStepBytes);
    add(source, step);
    std::memcpy(target, source, step);
    target += step;
    source += step;
    length_bytes -= step;
  }
}

}  // namespace nvublk::nvme::tcp
