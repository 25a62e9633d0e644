#include "nvme/namespace_io.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "engine/check.h"
#include "nvme/command.h"
#include "nvme/namespace_io_pieces.h"

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

std::uint32_t blocks_in(std::uint64_t bytes, std::uint32_t block_bytes) {
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(bytes / block_bytes, 1, kMaxBlocks));
}

bool writes(spec::NvmOpcode opcode) {
  return opcode == spec::NvmOpcode::kWrite || opcode == spec::NvmOpcode::kCompare ||
         opcode == spec::NvmOpcode::kZoneAppend;
}

}  // namespace

NamespaceIo::NamespaceIo(const Controller& controller, const Namespace& subject,
                         IoQueuePair& queue_pair)
    : namespace_(subject),
      queue_pair_(queue_pair),
      identify_(controller.profile().identify),
      format_(MetadataFormat::of(subject.profile().data)),
      guard_bits_(subject.profile().format.guard_bits),
      storage_tag_bits_(subject.profile().format.storage_tag_bits),
      zones_(subject.profile().format.zones),
      append_limit_bytes_(controller.profile().append_limit_bytes.value_or(spec::kNoLimit)),
      separate_metadata_(controller.transport_limits().separate_metadata),
      write_zeroes_bytes_(controller.profile().nvm.write_zeroes_limit_bytes(
          controller.profile().cap.min_page_bytes())),
      write_uncorrectable_bytes_(controller.profile().nvm.write_uncorrectable_limit_bytes(
          controller.profile().cap.min_page_bytes())),
      verify_bytes_(
          controller.profile().nvm.verify_limit_bytes(controller.profile().cap.min_page_bytes())),
      max_transfer_bytes_(subject.geometry().max_transfer_bytes) {
  limits_.boundary_blocks = subject.geometry().boundary_blocks;
  limits_.max_segments = controller.transport_limits().max_segments;
  limits_.prp = controller.transport_limits().prp;
  const std::uint32_t count = queue_pair.options().requests;
  for (std::uint32_t i = 0; i < count; i++) {
    free_parents_.push_back(parents_.emplace_back(std::make_unique<Parent>()).get());
    parents_.back()->owner = this;
    free_children_.push_back(children_.emplace_back(std::make_unique<Child>()).get());
    children_.back()->owner = this;
  }
}

NamespaceIo::~NamespaceIo() {
  CHECK(free_parents_.size() == parents_.size());
}

SplitLimits NamespaceIo::limits(std::uint32_t io_flags) const {
  SplitLimits limits = limits_;
  limits.block_bytes = format_.data_bytes(io_flags);
  limits.max_blocks = blocks_in(max_transfer_bytes_, limits.block_bytes);
  return limits;
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
             ? submit_no_data(spec::NvmOpcode::kWriteUncorrectable, io, write_uncorrectable_bytes_)
             : -ENOTSUP;
}

int NamespaceIo::verify(const BlockIo& io) {
  return identify_.supports_verify() ? submit_no_data(spec::NvmOpcode::kVerify, io, verify_bytes_)
                                     : -ENOTSUP;
}

command::ProtectionTags NamespaceIo::tags_of(const BlockIo& io) const {
  command::ProtectionTags tags;
  const std::uint32_t lba_tag =
      format_.protection_type == 3 ? 0 : static_cast<std::uint32_t>(io.lba);
  tags.reference_tag = format_.is_protected() ? io.reference_tag.value_or(lba_tag) : 0;
  tags.application_tag = io.application_tag;
  tags.application_tag_mask = io.application_tag_mask;
  return tags;
}

// Whether a command can be at all; `transfers`: it has data.
int NamespaceIo::check(const BlockIo& io, bool transfers) const {
  const std::uint64_t size = namespace_.geometry().size_blocks;
  if (io.done == nullptr || io.blocks == 0 || io.lba >= size || io.blocks > size - io.lba) {
    return -EINVAL;
  }
  if (!namespace_.active() || !queue_pair_.usable()) {
    return -ENXIO;
  }
  if (!valid_protection(format_, io.io_flags, tags_of(io), io.lba)) {
    return -EINVAL;
  }
  const std::uint64_t separate = transfers ? format_.separate_bytes(io.io_flags) : 0;
  if (separate != 0 && !separate_metadata_) {
    return -ENOTSUP;
  }
  // Without memory of ours the controller would take its metadata from anywhere.
  if (io.metadata.size() != io.blocks * separate) {
    return -EINVAL;
  }
  const std::uint64_t wanted = transfers ? io.blocks * format_.data_bytes(io.io_flags) : 0;
  if (total_bytes(io.data) != wanted) {
    return -EINVAL;
  }
  if (!io.host_protection) {
    return 0;
  }
  if (!format_.is_protected() || guard_bits_ != 16 || storage_tag_bits_ != 0) {
    return -ENOTSUP;
  }
  const bool has_memory =
      transfers && (format_.extends_block || !io.metadata.empty()) && !format_.strips(io.io_flags);
  return has_memory ? 0 : -EINVAL;
}

int NamespaceIo::submit_data(spec::NvmOpcode opcode, const BlockIo& io) {
  if (const int error = check(io, true); error != 0) {
    return error;
  }
  return submit(opcode, io, limits(io.io_flags));
}

int NamespaceIo::submit_no_data(spec::NvmOpcode opcode, const BlockIo& io,
                                std::uint64_t max_bytes) {
  if (const int error = check(io, false); error != 0) {
    return error;
  }
  SplitLimits limits;
  limits.block_bytes = 0;
  limits.max_blocks = blocks_in(max_bytes, format_.block_bytes);
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

NamespaceIo::Parent& NamespaceIo::take_parent(const BlockIo& io, std::uint32_t pieces) {
  Parent& parent = *free_parents_.back();
  free_parents_.pop_back();
  parent.done = io.done;
  parent.context = io.context;
  parent.outstanding = pieces;
  parent.status = {};
  parent.entry = {};
  return parent;
}

void NamespaceIo::submit_piece(spec::NvmOpcode opcode, const BlockIo& io, const SplitPiece& piece,
                               Parent& parent, spec::Fuse fuse) {
  Child& child = *free_children_.back();
  free_children_.pop_back();
  child.parent = &parent;
  copy_segments(io.data, piece, child.segments);
  const std::uint64_t before = piece.lba - io.lba;
  child.tags = tags_of(io);
  child.tags.reference_tag = reference_tag_after(format_, child.tags.reference_tag, before);
  IoCommand command;
  command.sqe =
      command::block_command(opcode, namespace_.nsid(), piece.lba, piece.blocks, io.io_flags);
  command::set_protection_tags(command.sqe, child.tags);
  command.sqe.set_fuse(fuse);
  command.iov = child.segments.data();
  command.iov_count = static_cast<std::uint32_t>(child.segments.size());
  if (!io.metadata.empty()) {
    command.metadata = io.metadata.data() + before * format_.metadata_bytes;
    command.metadata_bytes = piece.blocks * format_.metadata_bytes;
  }
  child.memory = {child.segments, static_cast<std::byte*>(command.metadata), piece.blocks};
  child.checks = io.host_protection && opcode == spec::NvmOpcode::kRead ? io.io_flags : 0;
  if (io.host_protection && writes(opcode)) {
    generate_protection(format_, child.memory, child.tags);
  }
  command.done = &NamespaceIo::child_done;
  command.context = &child;
  command.tag = io.context;
  const int submitted = queue_pair_.submit(command);
  CHECK(submitted == 0);
}

int NamespaceIo::submit(spec::NvmOpcode opcode, const BlockIo& io, SplitLimits limits) {
  std::uint32_t pieces = 0;
  if (const int error = count_pieces(limits, io, pieces); error != 0) {
    return error;
  }
  Parent& parent = take_parent(io, pieces);
  IoSplitter splitter(limits, io.lba, io.blocks, io.data);
  while (const std::optional<SplitPiece> piece = splitter.next()) {
    submit_piece(opcode, io, *piece, parent, spec::Fuse::kNormal);
  }
  return 0;
}

int NamespaceIo::compare_and_write(const BlockIo& compare, const BlockIo& write) {
  if (!identify_.supports_compare_and_write()) {
    return -ENOTSUP;
  }
  BlockIo first = compare;
  first.done = write.done;
  first.context = write.context;
  for (const BlockIo* io : {&std::as_const(first), &write}) {
    if (const int error = check(*io, true); error != 0) {
      return error;
    }
  }
  // With room for one command at the device, the second would wait for the first, and that for it.
  if (compare.lba != write.lba || compare.blocks != write.blocks ||
      queue_pair_.options().queue_size < 2) {
    return -EINVAL;
  }
  std::optional<SplitPiece> pieces[2];
  const BlockIo* ios[] = {&first, &write};
  for (int i = 0; i < 2; i++) {
    IoSplitter splitter(limits(ios[i]->io_flags), ios[i]->lba, ios[i]->blocks, ios[i]->data);
    pieces[i] = splitter.next();
    if (!pieces[i] || pieces[i]->blocks != write.blocks) {
      return -EINVAL;
    }
  }
  if (queue_pair_.free_requests() < 2 || free_children_.size() < 2 || free_parents_.empty()) {
    return -ENOMEM;
  }
  Parent& parent = take_parent(write, 2);
  submit_piece(spec::NvmOpcode::kCompare, first, *pieces[0], parent, spec::Fuse::kFirst);
  submit_piece(spec::NvmOpcode::kWrite, write, *pieces[1], parent, spec::Fuse::kSecond);
  return 0;
}

std::uint64_t NamespaceIo::zone_count() const {
  return zones_ ? namespace_.geometry().size_blocks / zones_->zone_blocks : 0;
}

std::uint32_t NamespaceIo::max_append_blocks(std::uint32_t io_flags) const {
  const std::uint64_t bytes = std::min<std::uint64_t>(append_limit_bytes_, max_transfer_bytes_);
  return zones_ ? blocks_in(bytes, format_.data_bytes(io_flags)) : 0;
}

int NamespaceIo::zone_append(const BlockIo& io) {
  if (!zones_) {
    return -ENOTSUP;
  }
  if (const int error = check(io, true); error != 0) {
    return error;
  }
  SplitLimits limits = this->limits(io.io_flags);
  limits.max_blocks = max_append_blocks(io.io_flags);
  limits.boundary_blocks = 0;  // where it ends up is not known yet
  IoSplitter splitter(limits, io.lba, io.blocks, io.data);
  const std::optional<SplitPiece> piece = splitter.next();
  if (io.lba % zones_->zone_blocks != 0 || !piece || piece->blocks != io.blocks) {
    return -EINVAL;
  }
  return submit(spec::NvmOpcode::kZoneAppend, io, limits);
}

void NamespaceIo::child_done(void* context, spec::NvmeStatus status,
                             const spec::CompletionEntry& entry) {
  auto* child = static_cast<Child*>(context);
  NamespaceIo& self = *child->owner;
  Parent& parent = *child->parent;
  if (status.ok() && child->checks != 0) {
    const auto wrong =
        nvme::check_protection(self.format_, child->memory, child->tags, child->checks);
    if (wrong) {
      status = spec::NvmeStatus::make(wrong->status);
    }
  }
  self.free_children_.push_back(child);
  if (!status.ok() && parent.status.ok()) {
    parent.status = status;
    parent.entry = entry;
    parent.entry.set_status(status);
  }
  if (--parent.outstanding == 0) {
    finish(self, parent, entry);
  }
}

void NamespaceIo::finish(NamespaceIo& self, Parent& parent, const spec::CompletionEntry& entry) {
  const IoCommand::Done done = parent.done;
  void* context = parent.context;
  const spec::NvmeStatus whole = parent.status;
  const spec::CompletionEntry answer = whole.ok() ? entry : parent.entry;
  self.free_parents_.push_back(&parent);
  done(context, whole, answer);
}

}  // namespace nvublk::nvme
