// The I/O commands of Queue. [NVM 1.1 §3]

#include <algorithm>
#include <cerrno>

#include "nvme/spec/copy.h"
#include "nvme/spec/dsm.h"
#include "target/queue.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

constexpr std::uint32_t kFua = 1u << 30;
constexpr std::uint32_t kDeallocate = 1u << 25;

Reply media_error(int errno_value, MediaStatus status) {
  return errno_value == ENOSPC ? Reply::error(GenericStatus::kCapacityExceeded, false)
                               : Reply::error(status, false);
}

std::uint64_t start_lba(const SubmissionEntry& sqe) {
  return sqe.cdw10.get() | (std::uint64_t{sqe.cdw11.get()} << 32);
}

std::uint32_t block_count(const SubmissionEntry& sqe) {
  return (sqe.cdw12.get() & 0xffff) + 1;
}

// Of the commands that name blocks.
bool writes(NvmOpcode opcode) {
  return opcode != NvmOpcode::kRead && opcode != NvmOpcode::kCompare &&
         opcode != NvmOpcode::kVerify;
}

}  // namespace

NvmeStatus Queue::open_namespace(const Sqe& sqe, bool writes,
                                 const std::shared_ptr<Namespace>*& ns) {
  ns = namespaces_.find(sqe.nsid.get());
  if (ns == nullptr) return NvmeStatus::make(GenericStatus::kInvalidNamespaceOrFormat, true);
  if (!(*ns)->reservations().permits(controller_->identity().hostid, writes)) {
    return NvmeStatus::make(GenericStatus::kReservationConflict, true);
  }
  if (writes && (*ns)->read_only()) {
    return NvmeStatus::make(GenericStatus::kNamespaceWriteProtected, true);
  }
  return {};
}

NvmeStatus Queue::locate(const Sqe& sqe, bool transfers_data, Range& range) {
  const NvmeStatus opened = open_namespace(sqe, writes(sqe.nvm_opcode()), range.ns);
  if (!opened.ok()) return opened;
  const Namespace& ns = range.space();
  range.lba = start_lba(sqe);
  range.blocks = block_count(sqe);
  range.control = ProtectionControl::of(sqe);
  range.length = std::uint64_t{range.blocks} * wire_block_bytes(ns.format(), range.control);
  if (transfers_data && range.length > subsystem_.options().max_transfer_bytes) {
    return NvmeStatus::make(GenericStatus::kInvalidField, true);
  }
  if (!ns.contains(range.lba, range.blocks)) {
    return NvmeStatus::make(GenericStatus::kLbaOutOfRange, true);
  }
  if (const auto wrong = check_control(ns.format(), range.control, range.lba)) return *wrong;
  if (transfers_data && !data_fits(sqe, range.length)) {
    return NvmeStatus::make(GenericStatus::kDataSglLengthInvalid, true);
  }
  return {};
}

// Commands whose data has a length of its own.
std::optional<NvmeStatus> Queue::admit_sized(const Sqe& sqe) {
  const std::uint32_t length = sqe.sgl().length.get();
  const std::uint32_t count = (sqe.cdw10.get() & 0xff) + 1;
  std::uint32_t least = 0;
  std::uint32_t most = 0;
  switch (sqe.nvm_opcode()) {
    case NvmOpcode::kDatasetManagement:
      least = count * sizeof(DsmRange);
      most = kDsmMaxRanges * sizeof(DsmRange);
      break;
    case NvmOpcode::kCopy:
      least = ((sqe.cdw12.get() & 0xff) + 1) * sizeof(CopyRange);
      most = kCopyMaxRanges * sizeof(CopyRange);
      break;
    case NvmOpcode::kReservationRegister:
    case NvmOpcode::kReservationAcquire:
      least = most = sizeof(ReservationKeys);
      break;
    case NvmOpcode::kReservationRelease:
      least = most = sizeof(Le64);
      break;
    case NvmOpcode::kZoneManagementSend:
      least = most = Zones::kExtensionBytes;
      break;
    default:
      return NvmeStatus::make(GenericStatus::kInvalidOpcode, true);
  }
  if (length < least || length > most) {
    return NvmeStatus::make(GenericStatus::kDataSglLengthInvalid, true);
  }
  return std::nullopt;
}

std::optional<NvmeStatus> Queue::admit_io(const Sqe& sqe) {
  const NvmOpcode opcode = sqe.nvm_opcode();
  if (opcode != NvmOpcode::kWrite && opcode != NvmOpcode::kCompare &&
      opcode != NvmOpcode::kZoneAppend) {
    return admit_sized(sqe);
  }
  Range range;
  const NvmeStatus status = locate(sqe, true, range);
  if (!status.ok()) return status;
  return std::nullopt;
}

Reply Queue::execute_io(const Sqe& sqe, Bytes data) {
  switch (sqe.nvm_opcode()) {
    case NvmOpcode::kRead:
      return read(sqe);
    case NvmOpcode::kWrite:
      return write(sqe, data);
    case NvmOpcode::kFlush:
      return flush(sqe);
    case NvmOpcode::kWriteZeroes:
      return write_zeroes(sqe);
    case NvmOpcode::kWriteUncorrectable:
      return write_uncorrectable(sqe);
    case NvmOpcode::kDatasetManagement:
      return dataset_management(sqe, data);
    case NvmOpcode::kCompare:
      return compare(sqe, data);
    case NvmOpcode::kVerify:
      return verify(sqe);
    case NvmOpcode::kCopy:
      return copy(sqe, data);
    case NvmOpcode::kReservationRegister:
    case NvmOpcode::kReservationAcquire:
    case NvmOpcode::kReservationRelease:
    case NvmOpcode::kReservationReport:
      return execute_reservation(sqe, data);
    case NvmOpcode::kZoneAppend:
      return zone_append(sqe, data);
    case NvmOpcode::kZoneManagementSend:
      return zone_send(sqe, data);
    case NvmOpcode::kZoneManagementReceive:
      return zone_receive(sqe);
    default:
      return Reply::error(GenericStatus::kInvalidOpcode);
  }
}

Reply Queue::refuse_io(NvmeStatus status) {
  Reply reply = Reply::with_status(status);
  if (const auto first = std::move(fused_)) {
    reply.first = std::make_shared<const std::pair<Sqe, NvmeStatus>>(first->sqe, status);
  }
  return reply;
}

// Compare and Write: the write is carried out only when the comparison went well. [NVM 1.1 §3.1]
Reply Queue::execute_fused(const Sqe& sqe, Bytes data) {
  if (fused_ == nullptr) {
    if (sqe.fuse() == Fuse::kSecond) return Reply::error(GenericStatus::kAbortedMissingFused);
    if (sqe.fuse() != Fuse::kFirst || sqe.nvm_opcode() != NvmOpcode::kCompare) {
      return Reply::error(GenericStatus::kInvalidField);
    }
    fused_ = std::make_unique<Fused>(Fused{sqe, {data.begin(), data.end()}});
    Reply held;
    held.held = true;
    return held;
  }
  const std::unique_ptr<Fused> first = std::move(fused_);
  Reply reply;
  NvmeStatus status = NvmeStatus::make(GenericStatus::kAbortedMissingFused, true);
  if (sqe.fuse() != Fuse::kSecond) {
    reply = sqe.fuse() == Fuse::kNormal ? execute_io(sqe, data) : execute_fused(sqe, data);
  } else if (sqe.nvm_opcode() != NvmOpcode::kWrite || start_lba(sqe) != start_lba(first->sqe) ||
             block_count(sqe) != block_count(first->sqe)) {
    status = NvmeStatus::make(GenericStatus::kInvalidField, true);
    reply = Reply::with_status(status);
  } else {
    status = compare(first->sqe, first->data).status;
    reply = status.ok() ? write(sqe, data) : Reply::error(GenericStatus::kAbortedFailedFused);
  }
  reply.first = std::make_shared<const std::pair<Sqe, NvmeStatus>>(first->sqe, status);
  return reply;
}

Reply Queue::read(const Sqe& sqe) {
  Range range;
  if (const NvmeStatus status = locate(sqe, true, range); !status.ok()) {
    return Reply::with_status(status);
  }
  const Namespace& ns = range.space();
  if (const NvmeStatus status = ns.admit_read(range.lba, range.blocks); !status.ok()) {
    return Reply::with_status(status);
  }
  Reply reply;
  reply.data_length = static_cast<std::uint32_t>(range.length);
  const bool plain =
      ns.format().metadata_bytes == 0 && !ns.bad_blocks().any(range.lba, range.blocks);
  reply.data = plain ? ns.storage().view(range.lba << ns.block_shift()) : nullptr;
  if (reply.data != nullptr) {
    reply.owner = *range.ns;
    reply.shared_data = true;
  } else {
    auto buffer = std::make_shared_for_overwrite<std::uint8_t[]>(range.length);
    const NvmeStatus status = read_blocks(ns, range.where(), range.control, buffer.get());
    if (!status.ok()) return Reply::with_status(status);
    reply.data = buffer.get();
    reply.owner = std::move(buffer);
  }
  stats_.read_bytes.add(range.length);
  return reply;
}

Reply Queue::finish_write(const Sqe& sqe, const Namespace& ns, const BlockRange& range,
                          NvmeStatus status) {
  const bool durable = (sqe.cdw12.get() & kFua) != 0 || !controller_->write_cache();
  if (!status.ok() || !durable) return Reply::with_status(status);
  const int error = ns.storage().persist(range.lba << ns.block_shift(),
                                         std::uint64_t{range.blocks} << ns.block_shift());
  return error == 0 ? Reply::success() : media_error(error, MediaStatus::kWriteFault);
}

Reply Queue::write(const Sqe& sqe, Bytes data) {
  Range range;
  if (const NvmeStatus status = locate(sqe, true, range); !status.ok()) {
    return Reply::with_status(status);
  }
  if (data.size() != range.length) return Reply::error(GenericStatus::kDataSglLengthInvalid);
  if (const auto type = static_cast<std::uint8_t>((sqe.cdw12.get() >> 20) & 0xf); type != 0) {
    const auto stream = static_cast<std::uint16_t>(sqe.cdw13.get() >> 16);
    const NvmeStatus status = subsystem_.directives().admit_write(controller_->identity().hostid,
                                                                  sqe.nsid.get(), type, stream);
    if (!status.ok()) return Reply::with_status(status);
  }
  const Namespace& ns = range.space();
  if (const NvmeStatus status = ns.admit_write(range.lba, range.blocks); !status.ok()) {
    return Reply::with_status(status);
  }
  const NvmeStatus status = write_blocks(ns, range.where(), range.control, data);
  if (status.ok()) stats_.written_bytes.add(range.length);
  return finish_write(sqe, ns, range.where(), status);
}

Reply Queue::compare(const Sqe& sqe, Bytes data) {
  Range range;
  if (const NvmeStatus status = locate(sqe, true, range); !status.ok()) {
    return Reply::with_status(status);
  }
  if (data.size() != range.length) return Reply::error(GenericStatus::kDataSglLengthInvalid);
  return Reply::with_status(compare_blocks(range.space(), range.where(), range.control, data));
}

Reply Queue::write_zeroes(const Sqe& sqe) {
  Range range;
  if (const NvmeStatus status = locate(sqe, false, range); !status.ok()) {
    return Reply::with_status(status);
  }
  const Namespace& ns = range.space();
  if (const NvmeStatus status = ns.admit_write(range.lba, range.blocks); !status.ok()) {
    return Reply::with_status(status);
  }
  const bool deallocate = (sqe.cdw12.get() & kDeallocate) != 0;
  return finish_write(sqe, ns, range.where(),
                      zero_blocks(ns, range.lba, range.blocks, range.control, deallocate));
}

Reply Queue::write_uncorrectable(const Sqe& sqe) {
  Range range;
  if (const NvmeStatus status = locate(sqe, false, range); !status.ok()) {
    return Reply::with_status(status);
  }
  const Namespace& ns = range.space();
  if (const NvmeStatus status = ns.admit_write(range.lba, range.blocks); !status.ok()) {
    return Reply::with_status(status);
  }
  ns.bad_blocks().add(range.lba, range.blocks);
  return Reply::success();
}

Reply Queue::verify(const Sqe& sqe) {
  constexpr std::uint32_t kBlocksAtOnce = 64;
  Range range;
  if (const NvmeStatus status = locate(sqe, false, range); !status.ok()) {
    return Reply::with_status(status);
  }
  const Namespace& ns = range.space();
  if (const NvmeStatus status = ns.admit_read(range.lba, range.blocks); !status.ok()) {
    return Reply::with_status(status);
  }
  std::vector<std::uint8_t> scratch(std::size_t{kBlocksAtOnce} *
                                    wire_block_bytes(ns.format(), range.control));
  for (std::uint32_t done = 0; done < range.blocks; done += kBlocksAtOnce) {
    const BlockRange part{range.lba + done, std::min(kBlocksAtOnce, range.blocks - done)};
    ProtectionControl control = range.control;
    control.reference_tag += ns.format().protection_type == 3 ? 0 : done;
    const NvmeStatus status = read_blocks(ns, part, control, scratch.data());
    if (!status.ok()) return Reply::with_status(status);
  }
  return Reply::success();
}

Reply Queue::dataset_management(const Sqe& sqe, Bytes data) {
  const std::shared_ptr<Namespace>* found = nullptr;
  if (const NvmeStatus status = open_namespace(sqe, true, found); !status.ok()) {
    return Reply::with_status(status);
  }
  const Namespace& ns = **found;
  const std::size_t count = (sqe.cdw10.get() & 0xff) + 1;
  if (data.size() < count * sizeof(DsmRange)) {
    return Reply::error(GenericStatus::kDataSglLengthInvalid);
  }
  std::vector<DsmRange> ranges(count);
  std::memcpy(ranges.data(), data.data(), count * sizeof(DsmRange));
  for (const DsmRange& range : ranges) {
    if (!ns.contains(range.slba.get(), range.nlb.get())) {
      return Reply::error(GenericStatus::kLbaOutOfRange);
    }
  }
  // A zone gives its blocks back when it is reset.
  if ((sqe.cdw11.get() & kDsmDeallocate) == 0 || ns.zones() != nullptr) return Reply::success();
  for (const DsmRange& range : ranges) {
    if (range.nlb.get() == 0) continue;
    const NvmeStatus status = zero_blocks(ns, range.slba.get(), range.nlb.get(), {}, true);
    if (!status.ok()) return Reply::with_status(status);
  }
  return Reply::success();
}

Reply Queue::flush(const Sqe& sqe) {
  if (sqe.nsid.get() == kNsidBroadcast) {
    const auto all = subsystem_.namespaces().list();
    for (const auto& ns : *all) {
      if (const int error = ns->storage().flush(); error != 0) {
        return media_error(error, MediaStatus::kWriteFault);
      }
    }
    return Reply::success();
  }
  const std::shared_ptr<Namespace>* found = nullptr;
  if (const NvmeStatus status = open_namespace(sqe, false, found); !status.ok()) {
    return Reply::with_status(status);
  }
  const int error = (*found)->storage().flush();
  return error == 0 ? Reply::success() : media_error(error, MediaStatus::kWriteFault);
}

}  // namespace nvublk::target
