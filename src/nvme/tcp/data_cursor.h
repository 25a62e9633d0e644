#pragma once

// Walks once, front to back, through the pieces of memory that hold a command's data.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <sys/uio.h>

#include "engine/check.h"

namespace nvublk::nvme::tcp {

class DataCursor {
 public:
  DataCursor() = default;
  DataCursor(const iovec* pieces, std::uint32_t count) : piece_(pieces), end_(pieces + count) {
    skip_empty();
  }

  /// The next contiguous bytes, at most `limit_bytes` (more than 0).
  std::span<std::byte> front(std::size_t limit_bytes) const {
    CHECK(piece_ != end_);
    return {static_cast<std::byte*>(piece_->iov_base) + offset_,
            std::min(limit_bytes, piece_->iov_len - offset_)};
  }
  /// Steps over bytes of the current piece, at most to its end.
  void advance(std::size_t bytes) {
    CHECK(piece_ != end_ && bytes <= piece_->iov_len - offset_);
    offset_ += bytes;
    if (offset_ == piece_->iov_len) {
      piece_++;
      offset_ = 0;
      skip_empty();
    }
  }

 private:
  void skip_empty() {
    while (piece_ != end_ && piece_->iov_len == 0) {
      piece_++;
    }
  }

  const iovec* piece_ = nullptr;
  const iovec* end_ = nullptr;
  std::size_t offset_ = 0;
};

}  // namespace nvublk::nvme::tcp
