#include "nvme/zone_command.h"

#include <utility>

#include "engine/check.h"
#include "nvme/command.h"
#include "nvme/spec/opcodes.h"

namespace nvublk::nvme::command {

using spec::NvmOpcode;
using spec::SubmissionEntry;

namespace {

SubmissionEntry make(NvmOpcode opcode, std::uint32_t nsid, std::uint64_t lba) {
  SubmissionEntry sqe;
  sqe.opcode = std::to_underlying(opcode);
  sqe.nsid = nsid;
  sqe.cdw10 = static_cast<std::uint32_t>(lba);
  sqe.cdw11 = static_cast<std::uint32_t>(lba >> 32);
  return sqe;
}

}  // namespace

SubmissionEntry zone_send(std::uint32_t nsid, ZoneSendAction action, std::uint64_t zone_lba,
                          bool all) {
  SubmissionEntry sqe = make(NvmOpcode::kZoneManagementSend, nsid, all ? 0 : zone_lba);
  sqe.cdw13 = std::to_underlying(action) | (all ? spec::kZoneSelectAll : 0u);
  return sqe;
}

SubmissionEntry zone_report(const ZoneReportArguments& arguments) {
  CHECK(arguments.length_bytes % 4 == 0 && arguments.length_bytes >= 4);
  SubmissionEntry sqe = make(NvmOpcode::kZoneManagementReceive, arguments.nsid, arguments.lba);
  sqe.cdw12 = arguments.length_bytes / 4 - 1;
  const auto action = arguments.extended ? spec::ZoneReceiveAction::kExtendedReport
                                         : spec::ZoneReceiveAction::kReport;
  sqe.cdw13 = std::to_underlying(action) |
              (static_cast<std::uint32_t>(std::to_underlying(arguments.option)) << 8) |
              (arguments.partial ? spec::kZonePartialReport : 0u);
  return sqe;
}

SubmissionEntry zone_append(std::uint32_t nsid, std::uint64_t zone_lba, std::uint32_t block_count,
                            std::uint32_t io_flags) {
  return block_command(NvmOpcode::kZoneAppend, nsid, zone_lba, block_count, io_flags);
}

}  // namespace nvublk::nvme::command
