#include "nvme/namespace_io.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "nvme/command.h"

namespace nvublk::nvme {

namespace {

// NLB has 16 bits, 0's based. [NVM 1.1 §3.3]
constexpr std::uint64_t kMaxBlocks = 65536;

std::uint64_t total_bytes(std::span<const iovec> data) {
  std::uint64_t total = 0;
  for (const iovec& piece : data) {
    total += piece.iov_len;
  }
  return total;
}

}  // namespace

struct NamespaceIo::Parent {
  IoCommand::Done done = nullptr;
  void* context = nullptr;
  std::uint32_t outstanding = 0;
  spec::NvmeStatus status;
  spec::CompletionEntry entry;
};

struct NamespaceIo::Child {
  NamespaceIo* owner = nullptr;
  Parent* parent = nullptr;
  std::vector<iovec> segments;
};

NamespaceIo::NamespaceIo(const Controller& controller, const Namespace& subject,
                         IoQueuePair& queue_pair, std::uint32_t max_segments)
    : namespace_(subject),
      queue_pair_(queue_pair),
      identify_(controller.profile().identify),
      write_zeroes_bytes_(controller.profile().nvm.write_zeroes_limit_bytes(
          controller.profile().cap.min_page_bytes())),
      verify_bytes_(
          controller.profile().nvm.verify_limit_bytes(controller.profile().cap.min_page_bytes())) {
  const BlockGeometry& geometry = subject.geometry();
  const TransportLimits transport = controller.transport_limits();
  limits_.block_bytes = geometry.block_size_bytes;
  limits_.max_blocks = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      kMaxBlocks, std::max(1u, geometry.max_transfer_bytes / geometry.block_size_bytes)));
  limits_.boundary_blocks = geometry.boundary_blocks;
  limits_.max_segments = max_segments;
  limits_.prp = transport.prp;
  const std::uint32_t count = queue_pair.options().requests;
  for (std::uint32_t i = 0; i < count; i++) {
    free_parents_.push_back(parents_.emplace_back(std::make_unique<Parent>()).get());
    free_children_.push_back(children_.emplace_back(std::make_unique<Child>()).get());
    children_.back()->owner = this;
  }
}

NamespaceIo::~NamespaceIo() {
  CHECK(free_parents_.size() == parents_.size());
}

int NamespaceIo::read(const BlockIo& io) {
  return submit_data(spec::NvmOpcode::kRead, io);
}

int NamespaceIo::write(const BlockIo& io) {
  return submit_data(spec::NvmOpcode::kWrite, io);
}

int NamespaceIo::compare(const BlockIo& io) {
  return identify_.supports_compare() ? submit_data(spec::NvmOpcode::kCompare, io) : -ENOTSUP;
}

int NamespaceIo::write_zeroes(const BlockIo& io) {
  return identify_.supports_write_zeroes()
             ? submit_no_data(spec::NvmOpcode::kWriteZeroes, io, write_zeroes_bytes_)
             : -ENOTSUP;
}

int NamespaceIo::write_uncorrectable(const BlockIo& io) {
  return identify_.supports_write_uncorrectable()
             ? submit_no_data(spec::NvmOpcode::kWriteUncorrectable, io, spec::kNoLimit)
             : -ENOTSUP;
}

int NamespaceIo::verify(const BlockIo& io) {
  return identify_.supports_verify() ? submit_no_data(spec::NvmOpcode::kVerify, io, verify_bytes_)
                                     : -ENOTSUP;
}

int NamespaceIo::submit_data(spec::NvmOpcode opcode, const BlockIo& io) {
  if (total_bytes(io.data) != io.blocks * limits_.block_bytes) {
    return -EINVAL;
  }
  return submit(opcode, io, limits_);
}

int NamespaceIo::submit_no_data(spec::NvmOpcode opcode, const BlockIo& io,
                                std::uint64_t max_bytes) {
  if (!io.data.empty()) {
    return -EINVAL;
  }
  SplitLimits limits;
  limits.block_bytes = 0;
  limits.max_blocks = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(max_bytes / limits_.block_bytes, 1, kMaxBlocks));
  return submit(opcode, io, limits);
}

int NamespaceIo::count_pieces(const SplitLimits& limits, const BlockIo& io,
                              std::uint32_t& pieces) const {
  IoSplitter splitter(limits, io.lba, io.blocks, io.data);
  for (pieces = 0; splitter.next(); pieces++) {
    if (pieces == queue_pair_.options().requests) {
      return -EINVAL;  // it never fits
    }
  }
  if (splitter.impossible()) {
    return -EINVAL;
  }
  const std::size_t room =
      std::min<std::size_t>(queue_pair_.free_requests(), free_children_.size());
  return pieces > room || free_parents_.empty() ? -ENOMEM : 0;
}

int NamespaceIo::submit(spec::NvmOpcode opcode, const BlockIo& io, SplitLimits limits) {
  const std::uint64_t size = namespace_.geometry().size_blocks;
  if (io.done == nullptr || io.blocks == 0 || io.lba >= size || io.blocks > size - io.lba) {
    return -EINVAL;
  }
  if (!namespace_.active() || !queue_pair_.usable()) {
    return -ENXIO;
  }
  std::uint32_t pieces = 0;
  if (const int error = count_pieces(limits, io, pieces); error != 0) {
    return error;
  }
  Parent* parent = free_parents_.back();
  free_parents_.pop_back();
  parent->done = io.done;
  parent->context = io.context;
  parent->outstanding = pieces;
  parent->status = {};
  parent->entry = {};
  IoSplitter splitter(limits, io.lba, io.blocks, io.data);
  while (const std::optional<SplitPiece> piece = splitter.next()) {
    Child* child = free_children_.back();
    free_children_.pop_back();
    child->parent = parent;
    copy_segments(io.data, *piece, child->segments);
    IoCommand command;
    command.sqe =
        command::block_command(opcode, namespace_.nsid(), piece->lba, piece->blocks, io.io_flags);
    command.iov = child->segments.data();
    command.iov_count = static_cast<std::uint32_t>(child->segments.size());
    command.done = &NamespaceIo::child_done;
    command.context = child;
    command.tag = io.context;
    const int submitted = queue_pair_.submit(command);
    CHECK(submitted == 0);
  }
  return 0;
}

void NamespaceIo::child_done(void* context, spec::NvmeStatus status,
                             const spec::CompletionEntry& entry) {
  auto* child = static_cast<Child*>(context);
  NamespaceIo& self = *child->owner;
  Parent& parent = *child->parent;
  self.free_children_.push_back(child);
  if (!status.ok() && parent.status.ok()) {
    parent.status = status;
    parent.entry = entry;
  }
  if (--parent.outstanding > 0) {
    return;
  }
  const IoCommand::Done done = parent.done;
  void* parent_context = parent.context;
  const spec::NvmeStatus whole = parent.status;
  const spec::CompletionEntry answer = whole.ok() ? entry : parent.entry;
  self.free_parents_.push_back(&parent);
  done(parent_context, whole, answer);
}

int NamespaceIo::submit_single(const spec::SubmissionEntry& sqe, std::span<const iovec> data,
                               IoCommand::Done done, void* context) {
  if (!namespace_.active()) {
    return -ENXIO;
  }
  IoCommand command;
  command.sqe = sqe;
  command.iov = data.data();
  command.iov_count = static_cast<std::uint32_t>(data.size());
  command.done = done;
  command.context = context;
  return queue_pair_.submit(command);
}

int NamespaceIo::flush(IoCommand::Done done, void* context) {
  return submit_single(command::flush(namespace_.nsid()), {}, done, context);
}

int NamespaceIo::dataset_management(const iovec& range_memory, std::uint32_t attributes,
                                    IoCommand::Done done, void* context) {
  if (!identify_.supports_dataset_management()) {
    return -ENOTSUP;
  }
  const std::size_t ranges = range_memory.iov_len / sizeof(spec::DsmRange);
  if (ranges == 0 || ranges > spec::kDsmMaxRanges ||
      range_memory.iov_len % sizeof(spec::DsmRange) != 0) {
    return -EINVAL;
  }
  return submit_single(command::dataset_management(namespace_.nsid(),
                                                   static_cast<std::uint32_t>(ranges), attributes),
                       {&range_memory, 1}, done, context);
}

}  // namespace nvublk::nvme
