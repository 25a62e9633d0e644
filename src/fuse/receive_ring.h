#pragma once

// Buffers that the kernel picks from when a multishot read finds something: io_uring's provided
// buffers. Shard-affine.

#include <cstddef>
#include <cstdint>

#include "engine/error.h"
#include "engine/uring.h"

namespace nvublk::fuse {

/// The opcode, which liburing 2.3 does not know; Linux 6.7.
constexpr std::uint8_t kReadMultishot = 49;

class ReceiveRing {
 public:
  ReceiveRing() = default;
  ~ReceiveRing();
  ReceiveRing(const ReceiveRing&) = delete;
  ReceiveRing& operator=(const ReceiveRing&) = delete;

  /// Registers room for `entries` buffers with `uring`, which must outlive this or its close().
  Status open(Uring& uring, unsigned entries);
  /// No read that picks from it may be under way.
  void close();
  bool is_open() const { return buffers_ != nullptr; }
  /// What a read names in sqe->buf_group.
  std::uint16_t group() const { return group_; }

  /// Offers a buffer; publish() makes those offered visible. At most `entries` may be on offer.
  void offer(std::byte* data, std::uint32_t length_bytes, std::uint16_t id);
  void publish();

 private:
  Uring* uring_ = nullptr;
  io_uring_buf_ring* buffers_ = nullptr;
  unsigned entries_ = 0;
  std::uint16_t group_ = 0;
  int offered_ = 0;
};

}  // namespace nvublk::fuse
