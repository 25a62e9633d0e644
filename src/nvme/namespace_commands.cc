// NamespaceIo, the commands that are not split.

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/check.h"
#include "nvme/command.h"
#include "nvme/namespace_io.h"
#include "nvme/namespace_io_pieces.h"

namespace nvublk::nvme {

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

// The keys travel in memory of ours.
int NamespaceIo::submit_keys(const spec::SubmissionEntry& sqe,
                             const std::array<std::uint64_t, 2>& keys, std::uint32_t length_bytes,
                             IoCommand::Done done, void* context) {
  if (!identify_.supports_reservations()) {
    return -ENOTSUP;
  }
  if (done == nullptr) {
    return -EINVAL;
  }
  if (free_parents_.empty()) {
    return -ENOMEM;
  }
  BlockIo io;
  io.done = done;
  io.context = context;
  Parent& parent = take_parent(io, 1);
  parent.keys.current = keys[0];
  parent.keys.other = keys[1];
  parent.key_memory = {&parent.keys, length_bytes};
  IoCommand command;
  command.sqe = sqe;
  command.iov = &parent.key_memory;
  command.iov_count = 1;
  command.tag = context;
  command.context = &parent;
  command.done = [](void* ended, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    auto& self = *static_cast<Parent*>(ended);
    self.status = status;
    self.entry = entry;
    finish(*self.owner, self, entry);
  };
  const int error = namespace_.active() ? queue_pair_.submit(command) : -ENXIO;
  if (error != 0) {
    free_parents_.push_back(&parent);
  }
  return error;
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

// MSRC, MSSRL and MCL; the last two are 0 when nothing is reported. [NVM 1.1 §4.1.5.1]
bool NamespaceIo::copy_fits(std::span<const spec::CopyRange> ranges) const {
  const spec::IdentifyNamespace& data = namespace_.profile().data;
  const std::uint64_t size = namespace_.geometry().size_blocks;
  std::uint64_t total = 0;
  for (const spec::CopyRange& range : ranges) {
    const std::uint32_t count = range.block_count();
    total += count;
    if ((data.mssrl.get() != 0 && count > data.mssrl.get()) || range.slba.get() >= size ||
        count > size - range.slba.get()) {
      return false;
    }
  }
  return ranges.size() <= data.msrc + 1u && (data.mcl.get() == 0 || total <= data.mcl.get());
}

int NamespaceIo::copy(const Copy& what, IoCommand::Done done, void* context) {
  if (!identify_.supports_copy()) {
    return -ENOTSUP;
  }
  const std::size_t count = what.range_memory.iov_len / sizeof(spec::CopyRange);
  if (count == 0 || count > spec::kCopyMaxRanges ||
      what.range_memory.iov_len % sizeof(spec::CopyRange) != 0) {
    return -EINVAL;
  }
  const std::span ranges(static_cast<const spec::CopyRange*>(what.range_memory.iov_base), count);
  if (!copy_fits(ranges) || what.destination_lba >= namespace_.geometry().size_blocks ||
      !valid_protection(format_, what.io_flags, what.tags, what.destination_lba)) {
    return -EINVAL;
  }
  spec::SubmissionEntry sqe =
      command::copy(namespace_.nsid(), what.destination_lba, static_cast<std::uint32_t>(count), 0);
  // The read side's PRINFO is 14 bits below the write side's.
  const bool action = (what.io_flags & command::kIoProtectionAction) != 0;
  const std::uint32_t read_side = action ? command::kIoProtectionAction >> 14 : 0;
  sqe.cdw12 = sqe.cdw12.get() | what.io_flags | read_side;
  command::set_protection_tags(sqe, what.tags);
  return submit_single(sqe, {&what.range_memory, 1}, done, context);
}

int NamespaceIo::reservation_register(const ReservationRegister& what, IoCommand::Done done,
                                      void* context) {
  return submit_keys(
      command::reservation_register(namespace_.nsid(), what.action, what.ignore_key, what.persist),
      {what.current_key, what.new_key}, 16, done, context);
}

int NamespaceIo::reservation_acquire(const ReservationAcquire& what, IoCommand::Done done,
                                     void* context) {
  return submit_keys(
      command::reservation_acquire(namespace_.nsid(), what.action, what.ignore_key, what.type),
      {what.current_key, what.preempted_key}, 16, done, context);
}

int NamespaceIo::reservation_release(const ReservationRelease& what, IoCommand::Done done,
                                     void* context) {
  return submit_keys(
      command::reservation_release(namespace_.nsid(), what.action, what.ignore_key, what.type),
      {what.current_key, 0}, 8, done, context);
}

int NamespaceIo::reservation_report(const iovec& memory, bool extended, IoCommand::Done done,
                                    void* context) {
  if (!identify_.supports_reservations()) {
    return -ENOTSUP;
  }
  if (memory.iov_len % 4 != 0 || memory.iov_len < sizeof(spec::ReservationStatus) ||
      memory.iov_len > max_transfer_bytes_) {
    return -EINVAL;
  }
  const auto length = static_cast<std::uint32_t>(memory.iov_len);
  return submit_single(command::reservation_report(namespace_.nsid(), length, extended),
                       {&memory, 1}, done, context);
}

int NamespaceIo::zone_send(command::ZoneSendAction action, std::uint64_t zone_lba, bool all,
                           IoCommand::Done done, void* context) {
  if (!zones_) {
    return -ENOTSUP;
  }
  const bool good =
      all || (zone_lba % zones_->zone_blocks == 0 && zone_lba < namespace_.geometry().size_blocks);
  if (!good || action == command::ZoneSendAction::kSetExtension) {
    return -EINVAL;
  }
  return submit_single(command::zone_send(namespace_.nsid(), action, zone_lba, all), {}, done,
                       context);
}

int NamespaceIo::set_zone_extension(std::uint64_t zone_lba, const iovec& memory,
                                    IoCommand::Done done, void* context) {
  if (!zones_ || zones_->extension_bytes == 0) {
    return -ENOTSUP;
  }
  if (memory.iov_len != zones_->extension_bytes || zone_lba % zones_->zone_blocks != 0 ||
      zone_lba >= namespace_.geometry().size_blocks) {
    return -EINVAL;
  }
  const auto sqe = command::zone_send(namespace_.nsid(), command::ZoneSendAction::kSetExtension,
                                      zone_lba, false);
  return submit_single(sqe, {&memory, 1}, done, context);
}

int NamespaceIo::zone_report(const ZoneReport& what, IoCommand::Done done, void* context) {
  if (!zones_ || (what.extended && zones_->extension_bytes == 0)) {
    return -ENOTSUP;
  }
  if (what.memory.iov_len % 4 != 0 || what.memory.iov_len < sizeof(spec::ZoneReportHeader) ||
      what.memory.iov_len > max_transfer_bytes_ || what.lba >= namespace_.geometry().size_blocks) {
    return -EINVAL;
  }
  command::ZoneReportArguments arguments;
  arguments.nsid = namespace_.nsid();
  arguments.lba = what.lba;
  arguments.length_bytes = static_cast<std::uint32_t>(what.memory.iov_len);
  arguments.option = what.option;
  arguments.partial = what.partial;
  arguments.extended = what.extended;
  return submit_single(command::zone_report(arguments), {&what.memory, 1}, done, context);
}

}  // namespace nvublk::nvme
