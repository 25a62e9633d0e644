#pragma once

// Commands for one namespace on one I/O queue pair, of any size: they are cut to what the
// controller takes, and the caller hears of the whole once, with the first error. Shard-affine,
// like the queue pair. It is destroyed when nothing of it is under way, after the queue pair if
// need be, and before the namespace's controller.
//
// Calls answer 0 or a negative errno: those of IoQueuePair::submit(), and
//   -EINVAL      beyond the namespace, data of the wrong length, or pieces that cannot be expressed
//   -ENOTSUP     the controller does not offer the command
//   -ENXIO       also when the namespace is not active any more

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nvme/controller.h"
#include "nvme/io_queue_pair.h"
#include "nvme/io_split.h"
#include "nvme/spec/dsm.h"

namespace nvublk::nvme {

/// What is asked for, of a range of blocks.
struct BlockIo {
  std::uint64_t lba = 0;
  std::uint64_t blocks = 0;
  std::span<const iovec> data{};  ///< stays until `done`, as does the memory that it names
  std::uint32_t io_flags = 0;     ///< bits of cdw12 (command::kIo...)
  IoCommand::Done done = nullptr;
  void* context = nullptr;  ///< also what an abort looks for
};

class NamespaceIo {
 public:
  /// `max_segments`: of one command; 0: any.
  NamespaceIo(const Controller& controller, const Namespace& subject, IoQueuePair& queue_pair,
              std::uint32_t max_segments = 0);
  ~NamespaceIo();
  NamespaceIo(const NamespaceIo&) = delete;
  NamespaceIo& operator=(const NamespaceIo&) = delete;

  int read(const BlockIo& io);
  int write(const BlockIo& io);
  int compare(const BlockIo& io);
  /// Without data from here on.
  int write_zeroes(const BlockIo& io);
  int write_uncorrectable(const BlockIo& io);
  int verify(const BlockIo& io);

  int flush(IoCommand::Done done, void* context);
  /// 1 to 256 ranges; `range_memory` names them as data and stays until `done`.
  int dataset_management(const iovec& range_memory, std::uint32_t attributes, IoCommand::Done done,
                         void* context);

  const SplitLimits& limits() const { return limits_; }

 private:
  struct Parent;
  struct Child;

  int submit(spec::NvmOpcode opcode, const BlockIo& io, SplitLimits limits);
  int submit_data(spec::NvmOpcode opcode, const BlockIo& io);
  int submit_no_data(spec::NvmOpcode opcode, const BlockIo& io, std::uint64_t max_bytes);
  int submit_single(const spec::SubmissionEntry& sqe, std::span<const iovec> data,
                    IoCommand::Done done, void* context);
  int count_pieces(const SplitLimits& limits, const BlockIo& io, std::uint32_t& pieces) const;
  static void child_done(void* context, spec::NvmeStatus status,
                         const spec::CompletionEntry& entry);

  const Namespace& namespace_;
  IoQueuePair& queue_pair_;
  const spec::IdentifyController identify_;
  const std::uint64_t write_zeroes_bytes_;
  const std::uint64_t verify_bytes_;
  SplitLimits limits_;
  std::vector<std::unique_ptr<Parent>> parents_;  ///< all
  std::vector<Parent*> free_parents_;
  std::vector<std::unique_ptr<Child>> children_;  ///< all
  std::vector<Child*> free_children_;
};

}  // namespace nvublk::nvme
