#pragma once

// Cuts a request of any size into commands that a controller takes. Pure.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <sys/uio.h>

namespace nvublk::nvme {

/// What one command may be.
struct SplitLimits {
  std::uint32_t block_bytes = 512;    ///< that travel for each block; 0: no data
  std::uint32_t max_blocks = 65536;   ///< of one command
  std::uint32_t boundary_blocks = 0;  ///< no command crosses a multiple of it; 0: none, any number
  std::uint32_t max_segments = 0;     ///< of data in one command; 0: any
  bool prp = false;                   ///< inside a command's data, segments begin and end at pages
  std::uint32_t page_bytes = 4096;    ///< of the controller, where `prp`
};

/// One command: blocks from `lba`, their data from byte `iov_offset` of segment `iov_index`, in
/// `iov_count` segments.
struct SplitPiece {
  std::uint64_t lba = 0;           ///< the first block
  std::uint32_t blocks = 0;        ///< how many
  std::uint32_t iov_index = 0;     ///< in the list of segments that was given
  std::uint32_t iov_count = 0;     ///< segments, the first and the last one perhaps in part
  std::size_t iov_offset = 0;      ///< bytes of the first segment that are not this command's
  std::uint64_t length_bytes = 0;  ///< of its data; 0: none
  bool operator==(const SplitPiece&) const = default;
};

/// Hands out the commands of one request.
class IoSplitter {
 public:
  /// `iov` has data for all `blocks`; it may be empty when limits.block_bytes is 0.
  IoSplitter(const SplitLimits& limits, std::uint64_t lba, std::uint64_t blocks,
             std::span<const iovec> iov);

  /// The next command, nothing after the last one, or when not even a block can be expressed:
  /// then impossible() is true.
  std::optional<SplitPiece> next();
  /// Whether next() ended for want of a way to go on.
  bool impossible() const { return impossible_; }

 private:
  std::uint64_t segment_limit(std::uint64_t bytes) const;
  void advance(SplitPiece& piece);

  const SplitLimits limits_;
  std::uint64_t lba_;
  std::uint64_t blocks_;
  std::span<const iovec> iov_;
  std::size_t index_ = 0;
  std::size_t offset_ = 0;
  bool impossible_ = false;
};

/// The segments of `piece` of `iov`, the first and the last one cut to size.
void copy_segments(std::span<const iovec> iov, const SplitPiece& piece, std::vector<iovec>& out);

}  // namespace nvublk::nvme
