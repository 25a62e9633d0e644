// Copy. [NVM 1.1 §3.3.2]

#include <cstring>

#include "nvme/spec/copy.h"
#include "target/queue.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

// PRINFOR is the read side's PRINFO, at other bits of cdw12.
ProtectionControl read_control(const SubmissionEntry& sqe, const CopyRange& range) {
  const std::uint32_t flags = sqe.cdw12.get();
  ProtectionControl control;
  control.action = (flags & (1u << 15)) != 0;
  control.check_guard = (flags & (1u << 14)) != 0;
  control.check_application_tag = (flags & (1u << 13)) != 0;
  control.check_reference_tag = (flags & (1u << 12)) != 0;
  control.reference_tag = range.elbrt.get();
  control.application_tag = range.elbat.get();
  control.application_tag_mask = range.elbatm.get();
  return control;
}

// The ranges, and how many blocks they have in all; or why they cannot be copied.
NvmeStatus check_ranges(const Namespace& ns, const SubmissionEntry& sqe,
                        const std::vector<CopyRange>& ranges, std::uint64_t& blocks) {
  const CopyLimits limits = CopyLimits::of(ns.format());
  if (ranges.size() > limits.ranges) {
    return NvmeStatus::make(NvmStatusCode::kCommandSizeLimitExceeded, true);
  }
  for (const CopyRange& range : ranges) {
    const std::uint32_t count = range.block_count();
    blocks += count;
    if (count > limits.range_blocks || blocks > limits.blocks) {
      return NvmeStatus::make(NvmStatusCode::kCommandSizeLimitExceeded, true);
    }
    if (!ns.contains(range.slba.get(), count)) {
      return NvmeStatus::make(GenericStatus::kLbaOutOfRange, true);
    }
    const ProtectionControl control = read_control(sqe, range);
    if (control.action != ProtectionControl::of(sqe).action) {
      return NvmeStatus::make(GenericStatus::kInvalidField, true);
    }
    if (const auto wrong = check_control(ns.format(), control, range.slba.get())) return *wrong;
    const NvmeStatus status = ns.admit_read(range.slba.get(), count);
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace

Reply Queue::copy(const Sqe& sqe, Bytes data) {
  const std::shared_ptr<Namespace>* found = nullptr;
  if (const NvmeStatus status = open_namespace(sqe, true, found); !status.ok()) {
    return Reply::with_status(status);
  }
  const Namespace& ns = **found;
  const std::size_t count = (sqe.cdw12.get() & 0xff) + 1;
  if (((sqe.cdw12.get() >> 8) & 0xf) != 0) return Reply::error(GenericStatus::kInvalidField);
  if (data.size() < count * sizeof(CopyRange)) {
    return Reply::error(GenericStatus::kDataSglLengthInvalid);
  }
  std::vector<CopyRange> ranges(count);
  std::memcpy(ranges.data(), data.data(), count * sizeof(CopyRange));
  std::uint64_t blocks = 0;
  if (const NvmeStatus status = check_ranges(ns, sqe, ranges, blocks); !status.ok()) {
    return Reply::with_status(status);
  }
  const std::uint64_t to = sqe.cdw10.get() | (std::uint64_t{sqe.cdw11.get()} << 32);
  if (!ns.contains(to, blocks)) return Reply::error(GenericStatus::kLbaOutOfRange);
  const ProtectionControl control = ProtectionControl::of(sqe);
  if (const auto wrong = check_control(ns.format(), control, to)) {
    return Reply::with_status(*wrong);
  }
  // All is read before anything is written, so that ranges may overlap.
  const std::size_t step = wire_block_bytes(ns.format(), control);
  std::vector<std::uint8_t> wire(blocks * step);
  std::uint8_t* at = wire.data();
  for (const CopyRange& range : ranges) {
    const BlockRange from{range.slba.get(), range.block_count()};
    const NvmeStatus status = read_blocks(ns, from, read_control(sqe, range), at);
    if (!status.ok()) return Reply::with_status(status);
    at += step * from.blocks;
  }
  if (const NvmeStatus status = ns.admit_write(to, blocks); !status.ok()) {
    return Reply::with_status(status);
  }
  const BlockRange where{to, static_cast<std::uint32_t>(blocks)};
  return finish_write(sqe, ns, where, write_blocks(ns, where, control, wire));
}

}  // namespace nvublk::target
