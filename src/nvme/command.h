#pragma once

// Builders of submission entries. They are pure and set everything but the CID and the data
// pointer, which belong to the queue pair and its transport. Counts are counts here (1 is one
// block, one range, one dword); the 0's based fields are filled in by the builders.

#include <cstdint>

#include "nvme/spec/fabrics.h"
#include "nvme/spec/features.h"
#include "nvme/spec/identify.h"
#include "nvme/spec/log_pages.h"
#include "nvme/spec/properties.h"
#include "nvme/spec/sqe.h"

namespace nvublk::nvme::command {

// Admin commands.

/// What Identify is asked for. [Base 2.1 §5.1.13]
struct IdentifyArguments {
  spec::IdentifyCns cns = spec::IdentifyCns::kController;  ///< which structure
  std::uint32_t nsid = 0;                                  ///< where `cns` wants one; 0: none
  std::uint16_t cntid = 0;                                 ///< where `cns` wants one: CNTID
  /// Where `cns` is of a command set.
  spec::CommandSetIdentifier csi = spec::CommandSetIdentifier::kNvm;
  std::uint16_t cns_specific_id = 0;  ///< CNSSI, where `cns` wants one
};
/// Returns 4096 bytes. [Base 2.1 §5.1.13]
spec::SubmissionEntry identify(const IdentifyArguments& arguments);

/// `cdw11` is the feature's own argument. [Base 2.1 §5.1.11]
spec::SubmissionEntry get_features(spec::FeatureId feature, std::uint32_t nsid = 0,
                                   spec::FeatureSelect select = spec::FeatureSelect::kCurrent,
                                   std::uint32_t cdw11 = 0);
/// `save`: keep the value across resets and power cycles. [Base 2.1 §5.1.25]
spec::SubmissionEntry set_features(spec::FeatureId feature, std::uint32_t cdw11,
                                   std::uint32_t nsid = 0, bool save = false);
/// Asks for that many I/O queues, 1 to 65535 of each kind. [Base 2.1 §5.1.25]
spec::SubmissionEntry set_number_of_queues(std::uint32_t submission_queues,
                                           std::uint32_t completion_queues);

spec::SubmissionEntry keep_alive();           ///< [Base 2.1 §5.1.14]
spec::SubmissionEntry async_event_request();  ///< [Base 2.1 §5.1.2]
/// Aborts command `cid` of submission queue `sqid`. [Base 2.1 §5.1.1]
spec::SubmissionEntry abort(std::uint16_t sqid, std::uint16_t cid);

/// What Get Log Page is asked for. [Base 2.1 §5.1.12]
struct LogPageArguments {
  spec::LogPage page = spec::LogPage::kErrorInformation;  ///< LID
  std::uint64_t length_bytes = 0;                         ///< a multiple of 4, from 4 to 2^34
  std::uint64_t offset_bytes = 0;                         ///< a multiple of 4
  std::uint32_t nsid = spec::kNsidBroadcast;              ///< kNsidBroadcast or 0: the controller's
  bool retain_async_event = false;                        ///< RAE: reading does not clear the event
  std::uint8_t lsp = 0;                                   ///< 7 bits, specific to the page
  std::uint16_t lsi = 0;                                  ///< LSI, 16 bits, specific to the page
  /// Where the page is of a command set.
  spec::CommandSetIdentifier csi = spec::CommandSetIdentifier::kNvm;
};
/// CHECKs the limits of `arguments`: its values are ours, never a device's. [Base 2.1 §5.1.12]
spec::SubmissionEntry get_log_page(const LogPageArguments& arguments);

// Fabrics commands.

/// What Connect says of a queue. [Base 2.1 §6.3]
struct ConnectArguments {
  std::uint16_t qid = 0;                   ///< 0 is the admin queue
  std::uint32_t queue_entries = 0;         ///< 2 to 65536
  std::uint32_t kato_ms = 0;               ///< admin queue only; 0: no keep alive
  bool disable_sq_flow_control = false;    ///< asks that completions carry no SQ head pointer
  bool individual_queue_deletion = false;  ///< says that the queue may be disconnected by itself
  std::uint8_t priority = 0;               ///< I/O queues: 0 urgent to 3 low
};
/// Takes 1024 bytes of ConnectData. [Base 2.1 §6.3]
spec::SubmissionEntry fabrics_connect(const ConnectArguments& arguments);
spec::SubmissionEntry property_get(spec::Property property);  ///< [Base 2.1 §6.5]
/// Sets `property`; of a property of 4 bytes the low half of `value`. [Base 2.1 §6.6]
spec::SubmissionEntry property_set(spec::Property property, std::uint64_t value);
spec::SubmissionEntry disconnect();  ///< [Base 2.1 §6.4]

// NVM commands. `block_count` is 1 to 65536.

/// Bits of cdw12 of Read, Write and Write Zeroes. [NVM 1.1 §3.3.4, §3.3.6, §3.3.8]
inline constexpr std::uint32_t kIoLimitedRetry = 1u << 31;
inline constexpr std::uint32_t kIoForceUnitAccess = 1u << 30;  ///< FUA: done on non-volatile media
/// PRACT: the controller makes and takes the information.
inline constexpr std::uint32_t kIoProtectionAction = 1u << 29;
inline constexpr std::uint32_t kIoCheckGuard = 1u << 28;  ///< PRCHK: the guard
/// PRCHK: the application tag, as far as it is not masked.
inline constexpr std::uint32_t kIoCheckApplicationTag = 1u << 27;
inline constexpr std::uint32_t kIoCheckReferenceTag = 1u << 26;  ///< PRCHK: the reference tag
inline constexpr std::uint32_t kIoDeallocate = 1u << 25;         ///< Write Zeroes only

/// Tags that protection information is generated from or checked against: ILBRT, LBAT and LBATM, or
/// those that are expected. A mask bit of 0 leaves that bit of the application tag unchecked.
/// [NVM 1.1 §5.3]
struct ProtectionTags {
  std::uint32_t reference_tag = 0;         ///< of the first block
  std::uint16_t application_tag = 0;       ///< of all blocks
  std::uint16_t application_tag_mask = 0;  ///< LBATM or ELBATM
};
/// Writes `tags` into cdw14 and cdw15.
void set_protection_tags(spec::SubmissionEntry& sqe, const ProtectionTags& tags);

/// Any command whose dwords 10 to 12 are those of Read: Write, Compare, Verify, Write Zeroes, Write
/// Uncorrectable.
spec::SubmissionEntry block_command(spec::NvmOpcode opcode, std::uint32_t nsid, std::uint64_t lba,
                                    std::uint32_t block_count, std::uint32_t io_flags);
/// Read. [NVM 1.1 §3.3.4]
spec::SubmissionEntry read(std::uint32_t nsid, std::uint64_t lba, std::uint32_t block_count,
                           std::uint32_t io_flags = 0);
/// Write. [NVM 1.1 §3.3.6]
spec::SubmissionEntry write(std::uint32_t nsid, std::uint64_t lba, std::uint32_t block_count,
                            std::uint32_t io_flags = 0);
/// `deallocate`: the controller may unmap the blocks if they then read as zeroes.
spec::SubmissionEntry write_zeroes(std::uint32_t nsid, std::uint64_t lba, std::uint32_t block_count,
                                   bool deallocate, std::uint32_t io_flags = 0);
spec::SubmissionEntry flush(std::uint32_t nsid);  ///< [Base 2.1 §7.2]
/// Takes `range_count` (1 to 256) times DsmRange as data. `attributes` are kDsm... bits.
/// [NVM 1.1 §3.3.3]
spec::SubmissionEntry dataset_management(std::uint32_t nsid, std::uint32_t range_count,
                                         std::uint32_t attributes);

}  // namespace nvublk::nvme::command
