// The I/O commands of Queue. [NVM 1.1 §3]

#include <algorithm>
#include <cerrno>

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

}  // namespace

NvmeStatus Queue::locate(const Sqe& sqe, bool transfers_data, Range& range) {
  range.ns = namespaces_.find(sqe.nsid.get());
  if (range.ns == nullptr) return NvmeStatus::make(GenericStatus::kInvalidNamespaceOrFormat, true);
  const Namespace& ns = **range.ns;
  const std::uint32_t blocks = block_count(sqe);
  range.length = std::uint64_t{blocks} << ns.block_shift();
  if (transfers_data && range.length > subsystem_.options().max_transfer_bytes) {
    return NvmeStatus::make(GenericStatus::kInvalidField, true);
  }
  if (!ns.contains(start_lba(sqe), blocks)) {
    return NvmeStatus::make(GenericStatus::kLbaOutOfRange, true);
  }
  range.offset = start_lba(sqe) << ns.block_shift();
  if (transfers_data && !data_fits(sqe, range.length)) {
    return NvmeStatus::make(GenericStatus::kDataSglLengthInvalid, true);
  }
  return {};
}

std::optional<NvmeStatus> Queue::admit_io(const Sqe& sqe) {
  if (sqe.nvm_opcode() == NvmOpcode::kDatasetManagement) {
    const std::uint32_t needed = ((sqe.cdw10.get() & 0xff) + 1) * sizeof(DsmRange);
    const std::uint32_t length = sqe.sgl().length.get();
    if (length < needed || length > kDsmMaxRanges * sizeof(DsmRange)) {
      return NvmeStatus::make(GenericStatus::kDataSglLengthInvalid, true);
    }
    return std::nullopt;
  }
  if (sqe.nvm_opcode() != NvmOpcode::kWrite && sqe.nvm_opcode() != NvmOpcode::kCompare) {
    return NvmeStatus::make(GenericStatus::kInvalidOpcode, true);
  }
  Range range;
  const NvmeStatus status = locate(sqe, true, range);
  if (!status.ok()) return status;
  return std::nullopt;
}

Reply Queue::execute_io(const Sqe& sqe, Bytes data) {
  const NvmOpcode opcode = sqe.nvm_opcode();
  if (opcode == NvmOpcode::kRead) return read(sqe);
  if (opcode == NvmOpcode::kWrite) return write(sqe, data);
  if (opcode == NvmOpcode::kFlush) return flush(sqe);
  if (opcode == NvmOpcode::kWriteZeroes) return write_zeroes(sqe);
  if (opcode == NvmOpcode::kDatasetManagement) return dataset_management(sqe, data);
  if (opcode == NvmOpcode::kCompare) return compare(sqe, data);
  return Reply::error(GenericStatus::kInvalidOpcode);
}

Reply Queue::read(const Sqe& sqe) {
  Range range;
  if (const NvmeStatus status = locate(sqe, true, range); !status.ok()) {
    return Reply::with_status(status);
  }
  Reply reply;
  reply.data_length = static_cast<std::uint32_t>(range.length);
  Storage& storage = (*range.ns)->storage();
  reply.data = storage.view(range.offset);
  if (reply.data != nullptr) {
    reply.owner = *range.ns;
    reply.shared_data = true;
  } else {
    auto buffer = std::make_shared_for_overwrite<std::uint8_t[]>(range.length);
    if (const int error = storage.read(range.offset, buffer.get(), range.length); error != 0) {
      return media_error(error, MediaStatus::kUnrecoveredReadError);
    }
    reply.data = buffer.get();
    reply.owner = std::move(buffer);
  }
  stats_.read_bytes.add(range.length);
  return reply;
}

Reply Queue::write(const Sqe& sqe, Bytes data) {
  Range range;
  if (const NvmeStatus status = locate(sqe, true, range); !status.ok()) {
    return Reply::with_status(status);
  }
  if (data.size() != range.length) return Reply::error(GenericStatus::kDataSglLengthInvalid);
  const Namespace& ns = **range.ns;
  if (ns.read_only()) return Reply::error(GenericStatus::kNamespaceWriteProtected);
  int error = ns.storage().write(range.offset, data.data(), data.size());
  const bool durable = (sqe.cdw12.get() & kFua) != 0 || !controller_->write_cache();
  if (error == 0 && durable) error = ns.storage().flush();
  if (error != 0) return media_error(error, MediaStatus::kWriteFault);
  stats_.written_bytes.add(range.length);
  return Reply::success();
}

Reply Queue::compare(const Sqe& sqe, Bytes data) {
  Range range;
  if (const NvmeStatus status = locate(sqe, true, range); !status.ok()) {
    return Reply::with_status(status);
  }
  if (data.size() != range.length) return Reply::error(GenericStatus::kDataSglLengthInvalid);
  const Namespace& ns = **range.ns;
  std::vector<std::uint8_t> stored(range.length);
  if (const int error = ns.storage().read(range.offset, stored.data(), stored.size()); error != 0) {
    return media_error(error, MediaStatus::kUnrecoveredReadError);
  }
  return std::ranges::equal(stored, data) ? Reply::success()
                                          : Reply::error(MediaStatus::kCompareFailure);
}

Reply Queue::write_zeroes(const Sqe& sqe) {
  Range range;
  if (const NvmeStatus status = locate(sqe, false, range); !status.ok()) {
    return Reply::with_status(status);
  }
  const Namespace& ns = **range.ns;
  if (ns.read_only()) return Reply::error(GenericStatus::kNamespaceWriteProtected);
  const bool deallocate = (sqe.cdw12.get() & kDeallocate) != 0;
  int error = ns.storage().zero(range.offset, range.length, deallocate);
  const bool durable = (sqe.cdw12.get() & kFua) != 0 || !controller_->write_cache();
  if (error == 0 && durable) error = ns.storage().flush();
  return error == 0 ? Reply::success() : media_error(error, MediaStatus::kWriteFault);
}

Reply Queue::dataset_management(const Sqe& sqe, Bytes data) {
  const auto* found = namespaces_.find(sqe.nsid.get());
  if (found == nullptr) return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  const Namespace& ns = **found;
  const std::size_t count = (sqe.cdw10.get() & 0xff) + 1;
  if (data.size() < count * sizeof(DsmRange)) {
    return Reply::error(GenericStatus::kDataSglLengthInvalid);
  }
  if ((sqe.cdw11.get() & kDsmDeallocate) == 0) return Reply::success();
  if (ns.read_only()) return Reply::error(GenericStatus::kNamespaceWriteProtected);
  std::vector<DsmRange> ranges(count);
  std::memcpy(ranges.data(), data.data(), count * sizeof(DsmRange));
  for (const DsmRange& range : ranges) {
    if (!ns.contains(range.slba.get(), range.nlb.get())) {
      return Reply::error(GenericStatus::kLbaOutOfRange);
    }
  }
  for (const DsmRange& range : ranges) {
    if (range.nlb.get() == 0) continue;
    const int error = ns.storage().zero(range.slba.get() << ns.block_shift(),
                                        std::uint64_t{range.nlb.get()} << ns.block_shift(), true);
    if (error != 0) return media_error(error, MediaStatus::kWriteFault);
  }
  return Reply::success();
}

Reply Queue::flush(const Sqe& sqe) {
  if (sqe.nsid.get() == kNsidBroadcast) {
    for (const auto& ns : *subsystem_.namespaces().list()) {
      if (const int error = ns->storage().flush(); error != 0) {
        return media_error(error, MediaStatus::kWriteFault);
      }
    }
    return Reply::success();
  }
  const auto* found = namespaces_.find(sqe.nsid.get());
  if (found == nullptr) return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  const int error = (*found)->storage().flush();
  return error == 0 ? Reply::success() : media_error(error, MediaStatus::kWriteFault);
}

}  // namespace nvublk::target
