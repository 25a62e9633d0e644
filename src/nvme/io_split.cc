#include "nvme/io_split.h"

#include <algorithm>

#include "engine/check.h"

namespace nvublk::nvme {

namespace {

std::uintptr_t address(const iovec& segment) {
  return reinterpret_cast<std::uintptr_t>(segment.iov_base);
}

}  // namespace

IoSplitter::IoSplitter(const SplitLimits& limits, std::uint64_t lba, std::uint64_t blocks,
                       std::span<const iovec> iov)
    : limits_(limits), lba_(lba), blocks_(blocks), iov_(iov) {
  CHECK(limits.max_blocks > 0 && limits.page_bytes > 0);
}

// How many of the next `bytes` bytes can be described by one command.
std::uint64_t IoSplitter::segment_limit(std::uint64_t bytes) const {
  std::uint64_t taken = 0;
  std::uint32_t segments = 0;
  for (std::size_t i = index_; i < iov_.size() && taken < bytes; i++) {
    const std::size_t skip = i == index_ ? offset_ : 0;
    const std::uint64_t length = iov_[i].iov_len - skip;
    if (length == 0) {
      continue;
    }
    if (limits_.max_segments != 0 && segments == limits_.max_segments) {
      return taken;
    }
    // All but the first segment begin at a page, all but the last one end at one.
    // [Base 2.1 §4.3.1]
    if (limits_.prp && segments > 0 && address(iov_[i]) % limits_.page_bytes != 0) {
      return taken;
    }
    segments++;
    taken += length;
    if (limits_.prp && (address(iov_[i]) + iov_[i].iov_len) % limits_.page_bytes != 0) {
      return std::min(taken, bytes);
    }
  }
  return std::min(taken, bytes);
}

void IoSplitter::advance(SplitPiece& piece) {
  while (index_ < iov_.size() && offset_ == iov_[index_].iov_len) {
    index_++;
    offset_ = 0;
  }
  piece.iov_index = static_cast<std::uint32_t>(index_);
  piece.iov_offset = offset_;
  std::uint64_t left = piece.length_bytes;
  while (left > 0) {
    const std::uint64_t here = std::min<std::uint64_t>(left, iov_[index_].iov_len - offset_);
    piece.iov_count = static_cast<std::uint32_t>(index_ + 1) - piece.iov_index;
    left -= here;
    offset_ += here;
    if (offset_ == iov_[index_].iov_len && left > 0) {
      index_++;
      offset_ = 0;
    }
  }
}

std::optional<SplitPiece> IoSplitter::next() {
  if (blocks_ == 0 || impossible_) {
    return std::nullopt;
  }
  std::uint64_t blocks = std::min<std::uint64_t>(blocks_, limits_.max_blocks);
  if (limits_.boundary_blocks != 0) {
    blocks = std::min(blocks, limits_.boundary_blocks - lba_ % limits_.boundary_blocks);
  }
  if (limits_.block_bytes != 0) {
    blocks = segment_limit(blocks * limits_.block_bytes) / limits_.block_bytes;
  }
  if (blocks == 0) {
    impossible_ = true;
    return std::nullopt;
  }
  SplitPiece piece;
  piece.lba = lba_;
  piece.blocks = static_cast<std::uint32_t>(blocks);
  piece.length_bytes = blocks * limits_.block_bytes;
  if (piece.length_bytes > 0) {
    advance(piece);
  }
  lba_ += blocks;
  blocks_ -= blocks;
  return piece;
}

void copy_segments(std::span<const iovec> iov, const SplitPiece& piece, std::vector<iovec>& out) {
  out.clear();
  std::uint64_t left = piece.length_bytes;
  for (std::uint32_t i = 0; i < piece.iov_count; i++) {
    const iovec& segment = iov[piece.iov_index + i];
    const std::size_t skip = i == 0 ? piece.iov_offset : 0;
    const auto length =
        static_cast<std::size_t>(std::min<std::uint64_t>(segment.iov_len - skip, left));
    if (length == 0) {
      continue;
    }
    out.push_back({static_cast<std::byte*>(segment.iov_base) + skip, length});
    left -= length;
  }
  CHECK(left == 0);
}

}  // namespace nvublk::nvme
