#pragma once

// Commands of one connection that wait: for data that was asked for by R2T, or for a delay to pass.
// Worker-affine.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nvme/spec/sqe.h"
#include "target/pdu_rules.h"

namespace nvublk::target {

struct Transfer {
  nvme::spec::SubmissionEntry sqe;
  std::uint16_t tag = 0;  ///< the TTAG on the wire
  bool in_use = false;
  bool soliciting = false;  ///< an R2T is open
  bool digest_error = false;
  std::uint32_t length = 0;  ///< bytes the command transfers
  OpenR2t r2t;
  std::unique_ptr<std::uint8_t[]> buffer;
  std::uint32_t capacity = 0;

  std::span<const std::uint8_t> data() const { return {buffer.get(), length}; }
};

class TransferTable {
 public:
  /// A free slot with room for `length` bytes, or nullptr when there are too many.
  Transfer* acquire(const nvme::spec::SubmissionEntry& sqe, std::uint32_t length);
  /// The one that an R2T with this tag is open for, or nullptr.
  Transfer* find_solicited(std::uint16_t tag);
  void release(Transfer& transfer);

 private:
  static constexpr std::size_t kMostTransfers = 65536;
  /// Larger buffers are given back at once.
  static constexpr std::uint32_t kKeptBytes = 128u << 10;

  std::vector<std::unique_ptr<Transfer>> slots_;
  std::vector<std::uint16_t> free_;
};

}  // namespace nvublk::target
