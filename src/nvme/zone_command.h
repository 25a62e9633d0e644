#pragma once

// Builders of the commands of the Zoned Namespace command set. As those of command.h: pure,
// everything but the CID and the data pointer, counts are counts.

#include <cstdint>

#include "nvme/spec/sqe.h"
#include "nvme/spec/zoned.h"

namespace nvublk::nvme::command {

using spec::ZoneReportOption;
using spec::ZoneSendAction;

/// `zone_lba` is the zone's first block; with `all` it does not matter. kSetExtension takes the
/// extension's bytes as data, the others nothing. [ZNS 1.2 §3.4.3]
spec::SubmissionEntry zone_send(std::uint32_t nsid, ZoneSendAction action, std::uint64_t zone_lba,
                                bool all);

/// What Zone Management Receive is asked for. [ZNS 1.2 §3.4.2]
struct ZoneReportArguments {
  std::uint32_t nsid = 0;                            ///< of a zoned namespace
  std::uint64_t lba = 0;                             ///< from the zone with this block on
  std::uint32_t length_bytes = 0;                    ///< of the buffer, a multiple of 4
  ZoneReportOption option = ZoneReportOption::kAll;  ///< zones in this state only
  bool partial = true;    ///< the count is that of the descriptors that fit
  bool extended = false;  ///< with the zones' descriptor extensions
};
/// Returns `length_bytes`. [ZNS 1.2 §3.4.2]
spec::SubmissionEntry zone_report(const ZoneReportArguments& arguments);

/// Where the data went is in DW0 and DW1 of the completion. `io_flags` are those of Write, and
/// kAppendRemapsReferenceTag. [ZNS 1.2 §3.4.1]
spec::SubmissionEntry zone_append(std::uint32_t nsid, std::uint64_t zone_lba,
                                  std::uint32_t block_count, std::uint32_t io_flags = 0);

}  // namespace nvublk::nvme::command
