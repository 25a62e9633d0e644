#pragma once

// What a FUSE request asks of the device. Pure: bytes in, a verdict out; nothing in the bytes is
// trusted.

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/block.h"
#include "fuse/fuse_abi.h"

namespace nvublk::fuse {

/// The one file of an export, below abi::kRootNode.
constexpr std::uint64_t kFileNode = 2;

/// What requests are checked against. Only the size may change.
struct FileLimits {
  std::uint32_t block_size_bytes = 512;
  std::uint64_t size_bytes = 0;
  std::uint32_t max_transfer_bytes = 4096;  ///< of one FUSE read or write
  bool write_zeroes = false;
  bool read_only = false;
};

struct FileRequest {
  enum class Verdict : std::uint8_t {
    kSubmit,   ///< give `op` to the device; nothing to do if it is not a flush and `blocks` is 0
    kOpen,     ///< the file is opened
    kReply,    ///< answer with `error`, a positive errno
    kForward,  ///< libfuse answers it
    kIgnore,   ///< there is no reply to it
    kInvalid,  ///< not even a header: nothing to answer to
  };
  Verdict verdict = Verdict::kInvalid;
  BlockOp op = BlockOp::kRead;
  bool no_unmap = false;
  /// The kernel wanted space back; counted as a discard.
  bool punch_hole = false;
  int error = 0;
  std::uint64_t unique = 0;
  std::uint64_t lba = 0;
  std::uint64_t blocks = 0;
};

/// Reads one request as it came from the FUSE device.
FileRequest decode_file_request(std::span<const std::byte> bytes, const FileLimits& limits);

}  // namespace nvublk::fuse
