#pragma once

// Commands for one namespace on one I/O queue pair, of any size: they are cut to what the
// controller takes, and the caller hears of the whole once, with the first error. Shard-affine,
// like the queue pair. It is destroyed when nothing of it is under way, after the queue pair if
// need be, and before the namespace's controller.
//
// Calls answer 0 or a negative errno: those of IoQueuePair::submit(), and
//   -EINVAL      beyond the namespace, data of the wrong length, tags that cannot be, or pieces of
//   a
//                block that no command can name: more of them than TransportLimits::max_segments
//                or, with TransportLimits::prp, one that begins or ends inside a page with more of
//                the block behind or before it. Data of one piece for each block can always be
//                named.
//   -ENOTSUP     the controller, the namespace or the transport does not offer it
//   -ENXIO       also when the namespace is not active any more

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nvme/controller.h"
#include "nvme/io_queue_pair.h"
#include "nvme/io_split.h"
#include "nvme/management_command.h"
#include "nvme/protection.h"
#include "nvme/spec/copy.h"
#include "nvme/spec/dsm.h"
#include "nvme/zone_command.h"

namespace nvublk::nvme {

/// What is asked for, of a range of blocks.
struct BlockIo {
  std::uint64_t lba = 0;
  std::uint64_t blocks = 0;
  /// Stays until `done`, as does the memory that it names. Where the format extends blocks, each
  /// block's metadata follows it, unless the controller inserts and strips it (PRACT, 8 bytes).
  std::span<const iovec> data{};
  /// All blocks' metadata, where the format keeps it apart and the controller does not strip it.
  std::span<std::byte> metadata{};
  std::uint32_t io_flags = 0;  ///< bits of cdw12 (command::kIo...)
  std::uint16_t application_tag = 0;
  std::uint16_t application_tag_mask = 0;  ///< which of its bits are checked
  /// Of the first block; nothing: its LBA, for types 1 and 2, and 0 for type 3.
  std::optional<std::uint32_t> reference_tag{};
  /// Protection information is made here, in the memory of what is written, and what is read is
  /// also checked here, as far as kIoCheck... flags ask for it.
  bool host_protection = false;
  IoCommand::Done done = nullptr;
  void* context = nullptr;  ///< also what an abort looks for
};

class NamespaceIo {
 public:
  /// How data may lie in pieces follows from controller.transport_limits(): `controller` is live.
  NamespaceIo(const Controller& controller, const Namespace& subject, IoQueuePair& queue_pair);
  ~NamespaceIo();
  NamespaceIo(const NamespaceIo&) = delete;
  NamespaceIo& operator=(const NamespaceIo&) = delete;

  int read(const BlockIo& io);
  int write(const BlockIo& io);
  int compare(const BlockIo& io);
  /// Writes `write` if what is there is `compare`: two fused commands, which are never split. They
  /// name the same blocks; the callback and the context are those of `write`. [NVM 1.1 §3.1]
  int compare_and_write(const BlockIo& compare, const BlockIo& write);
  /// Without data from here on.
  int write_zeroes(const BlockIo& io);
  int write_uncorrectable(const BlockIo& io);
  int verify(const BlockIo& io);

  int flush(IoCommand::Done done, void* context);
  /// 1 to 256 ranges; `range_memory` names them as data and stays until `done`.
  int dataset_management(const iovec& range_memory, std::uint32_t attributes, IoCommand::Done done,
                         void* context);
  /// Copies ranges (spec::CopyRange, at `range_memory` until `done`) to `destination_lba`, one
  /// after the other. `io_flags` and tags are the write side's; with PRACT both sides have it.
  struct Copy {
    iovec range_memory{};
    std::uint64_t destination_lba = 0;
    std::uint32_t io_flags = 0;
    command::ProtectionTags tags{};
  };
  int copy(const Copy& what, IoCommand::Done done, void* context);

  struct ReservationRegister {
    command::RegisterAction action = command::RegisterAction::kRegister;
    std::uint64_t current_key = 0;
    std::uint64_t new_key = 0;
    bool ignore_key = false;
    command::PersistThroughPowerLoss persist = command::PersistThroughPowerLoss::kUnchanged;
  };
  int reservation_register(const ReservationRegister& what, IoCommand::Done done, void* context);
  struct ReservationAcquire {
    command::AcquireAction action = command::AcquireAction::kAcquire;
    command::ReservationType type = command::ReservationType::kWriteExclusive;
    std::uint64_t current_key = 0;
    std::uint64_t preempted_key = 0;
    /// The current key is not looked at (IEKEY). Controllers since NVMe 1.3 (RESCAP bit 7 of
    /// Identify Namespace) refuse it with Invalid Field. [Base 2.1 §7.5]
    bool ignore_key = false;
  };
  int reservation_acquire(const ReservationAcquire& what, IoCommand::Done done, void* context);
  struct ReservationRelease {
    command::ReleaseAction action = command::ReleaseAction::kRelease;
    command::ReservationType type = command::ReservationType::kWriteExclusive;
    std::uint64_t current_key = 0;
    bool ignore_key = false;  ///< see ReservationAcquire. [Base 2.1 §7.7]
  };
  int reservation_release(const ReservationRelease& what, IoCommand::Done done, void* context);
  /// Into `memory`, a multiple of 4 bytes; decode_reservation_report() reads it, with `extended`:
  /// descriptors with 128-bit host identifiers, which is what fabrics have.
  int reservation_report(const iovec& memory, bool extended, IoCommand::Done done, void* context);

  /// What is known of the zones; nothing when the namespace is not zoned.
  const std::optional<ZonedFormat>& zones() const { return zones_; }
  std::uint64_t zone_count() const;
  /// The most blocks of one zone_append().
  std::uint32_t max_append_blocks(std::uint32_t io_flags = 0) const;
  /// Writes at the write pointer of the zone that begins at io.lba; never split. The result of the
  /// completion is the LBA of the first block.
  int zone_append(const BlockIo& io);
  /// Close, finish, open, reset or offline the zone that begins at `zone_lba`, or `all`.
  int zone_send(command::ZoneSendAction action, std::uint64_t zone_lba, bool all,
                IoCommand::Done done, void* context);
  /// `memory`: extension_bytes of the zones.
  int set_zone_extension(std::uint64_t zone_lba, const iovec& memory, IoCommand::Done done,
                         void* context);
  struct ZoneReport {
    iovec memory{};  ///< a multiple of 4 bytes; decode_zone_report() reads it
    std::uint64_t lba = 0;
    command::ZoneReportOption option = command::ZoneReportOption::kAll;
    bool partial = true;
    bool extended = false;
  };
  int zone_report(const ZoneReport& what, IoCommand::Done done, void* context);

  const MetadataFormat& format() const { return format_; }
  /// Of commands with these flags.
  SplitLimits limits(std::uint32_t io_flags = 0) const;

 private:
  struct Parent;
  struct Child;

  int check(const BlockIo& io, bool transfers) const;
  int submit(spec::NvmOpcode opcode, const BlockIo& io, SplitLimits limits);
  int submit_data(spec::NvmOpcode opcode, const BlockIo& io);
  int submit_no_data(spec::NvmOpcode opcode, const BlockIo& io, std::uint64_t max_bytes);
  int count_pieces(const SplitLimits& limits, const BlockIo& io, std::uint32_t& pieces) const;
  Parent& take_parent(const BlockIo& io, std::uint32_t pieces);
  void submit_piece(spec::NvmOpcode opcode, const BlockIo& io, const SplitPiece& piece,
                    Parent& parent, spec::Fuse fuse);
  command::ProtectionTags tags_of(const BlockIo& io) const;
  static void child_done(void* context, spec::NvmeStatus status,
                         const spec::CompletionEntry& entry);
  static void finish(NamespaceIo& self, Parent& parent, const spec::CompletionEntry& entry);

  int submit_single(const spec::SubmissionEntry& sqe, std::span<const iovec> data,
                    IoCommand::Done done, void* context);
  int submit_keys(const spec::SubmissionEntry& sqe, const std::array<std::uint64_t, 2>& keys,
                  std::uint32_t length_bytes, IoCommand::Done done, void* context);
  bool copy_fits(std::span<const spec::CopyRange> ranges) const;

  const Namespace& namespace_;
  IoQueuePair& queue_pair_;
  const spec::IdentifyController identify_;
  const MetadataFormat format_;
  const std::uint8_t guard_bits_;
  const std::uint8_t storage_tag_bits_;
  const std::optional<ZonedFormat> zones_;
  const std::uint64_t append_limit_bytes_;
  const bool separate_metadata_;
  const std::uint64_t write_zeroes_bytes_;
  const std::uint64_t write_uncorrectable_bytes_;
  const std::uint64_t verify_bytes_;
  std::uint32_t max_transfer_bytes_ = 0;
  SplitLimits limits_;
  std::vector<std::unique_ptr<Parent>> parents_;  ///< all
  std::vector<Parent*> free_parents_;
  std::vector<std::unique_ptr<Child>> children_;  ///< all
  std::vector<Child*> free_children_;
};

}  // namespace nvublk::nvme
