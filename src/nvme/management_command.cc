#include "nvme/management_command.h"

#include <utility>

#include "engine/check.h"
#include "nvme/spec/opcodes.h"

namespace nvublk::nvme::command {
namespace {

using spec::AdminOpcode;
using spec::NvmOpcode;
using spec::SubmissionEntry;

template <typename Opcode>
SubmissionEntry make(Opcode opcode, std::uint32_t nsid = 0) {
  SubmissionEntry sqe;
  sqe.opcode = static_cast<std::uint8_t>(opcode);
  sqe.nsid = nsid;
  return sqe;
}

std::uint32_t bit(bool set, unsigned position) {
  return set ? 1u << position : 0u;
}

SubmissionEntry security(AdminOpcode opcode, const SecurityArguments& arguments) {
  SubmissionEntry sqe = make(opcode, arguments.nsid);
  sqe.cdw10 = arguments.nvme_specific |
              (static_cast<std::uint32_t>(arguments.protocol_specific) << 8) |
              (static_cast<std::uint32_t>(arguments.protocol) << 24);
  sqe.cdw11 = arguments.length_bytes;
  return sqe;
}

SubmissionEntry directive(AdminOpcode opcode, const DirectiveArguments& arguments) {
  CHECK(arguments.length_bytes % 4 == 0);
  SubmissionEntry sqe = make(opcode, arguments.nsid);
  sqe.cdw10 = arguments.length_bytes == 0 ? 0 : arguments.length_bytes / 4 - 1;
  sqe.cdw11 = arguments.operation | (static_cast<std::uint32_t>(arguments.type) << 8) |
              (static_cast<std::uint32_t>(arguments.specific) << 16);
  sqe.cdw12 = arguments.cdw12;
  return sqe;
}

}  // namespace

SubmissionEntry format(const FormatArguments& arguments) {
  CHECK(arguments.lba_format < 64 && arguments.protection_type <= 3 && arguments.secure_erase <= 2);
  SubmissionEntry sqe = make(AdminOpcode::kFormatNvm, arguments.nsid);
  sqe.cdw10 = (arguments.lba_format & 0xfu) | bit(arguments.metadata_extends_block, 4) |
              (static_cast<std::uint32_t>(arguments.protection_type) << 5) |
              bit(arguments.protection_first, 8) |
              (static_cast<std::uint32_t>(arguments.secure_erase) << 9) |
              (static_cast<std::uint32_t>(arguments.lba_format >> 4) << 12);
  return sqe;
}

SubmissionEntry sanitize(const SanitizeArguments& arguments) {
  CHECK(arguments.overwrite_passes >= 1 && arguments.overwrite_passes <= 16);
  SubmissionEntry sqe = make(AdminOpcode::kSanitize);
  const bool overwrites = arguments.action == SanitizeAction::kOverwrite;
  // 16 passes are written as 0.
  const std::uint32_t passes = overwrites ? arguments.overwrite_passes & 0xfu : 0;
  sqe.cdw10 = std::to_underlying(arguments.action) | bit(arguments.allow_unrestricted_exit, 3) |
              (passes << 4) | bit(overwrites && arguments.invert_between_passes, 8) |
              bit(arguments.no_deallocate, 9);
  sqe.cdw11 = overwrites ? arguments.overwrite_pattern : 0;
  return sqe;
}

SubmissionEntry firmware_download(std::uint64_t offset_bytes, std::uint32_t length_bytes) {
  CHECK(offset_bytes % 4 == 0 && length_bytes % 4 == 0 && length_bytes >= 4);
  CHECK(offset_bytes / 4 <= 0xffffffffu);
  SubmissionEntry sqe = make(AdminOpcode::kFirmwareImageDownload);
  sqe.cdw10 = length_bytes / 4 - 1;
  sqe.cdw11 = static_cast<std::uint32_t>(offset_bytes / 4);
  return sqe;
}

SubmissionEntry firmware_commit(FirmwareAction action, std::uint8_t slot) {
  CHECK(slot <= 7);
  SubmissionEntry sqe = make(AdminOpcode::kFirmwareCommit);
  sqe.cdw10 = slot | (static_cast<std::uint32_t>(std::to_underlying(action)) << 3);
  return sqe;
}

SubmissionEntry create_namespace(std::uint8_t csi) {
  SubmissionEntry sqe = make(AdminOpcode::kNamespaceManagement);
  sqe.cdw11 = static_cast<std::uint32_t>(csi) << 24;
  return sqe;
}

SubmissionEntry delete_namespace(std::uint32_t nsid) {
  SubmissionEntry sqe = make(AdminOpcode::kNamespaceManagement, nsid);
  sqe.cdw10 = 1;
  return sqe;
}

SubmissionEntry attach_namespace(std::uint32_t nsid, bool attach) {
  SubmissionEntry sqe = make(AdminOpcode::kNamespaceAttachment, nsid);
  sqe.cdw10 = attach ? 0 : 1;
  return sqe;
}

SubmissionEntry security_send(const SecurityArguments& arguments) {
  return security(AdminOpcode::kSecuritySend, arguments);
}

SubmissionEntry security_receive(const SecurityArguments& arguments) {
  return security(AdminOpcode::kSecurityReceive, arguments);
}

SubmissionEntry self_test(SelfTest which, std::uint32_t nsid) {
  SubmissionEntry sqe = make(AdminOpcode::kDeviceSelfTest, nsid);
  sqe.cdw10 = std::to_underlying(which);
  return sqe;
}

SubmissionEntry directive_send(const DirectiveArguments& arguments) {
  return directive(AdminOpcode::kDirectiveSend, arguments);
}

SubmissionEntry directive_receive(const DirectiveArguments& arguments) {
  return directive(AdminOpcode::kDirectiveReceive, arguments);
}

SubmissionEntry reservation_register(std::uint32_t nsid, RegisterAction action, bool ignore_key,
                                     PersistThroughPowerLoss persist) {
  SubmissionEntry sqe = make(NvmOpcode::kReservationRegister, nsid);
  sqe.cdw10 = std::to_underlying(action) | bit(ignore_key, 3) |
              (static_cast<std::uint32_t>(std::to_underlying(persist)) << 30);
  return sqe;
}

SubmissionEntry reservation_acquire(std::uint32_t nsid, AcquireAction action, bool ignore_key,
                                    ReservationType type) {
  SubmissionEntry sqe = make(NvmOpcode::kReservationAcquire, nsid);
  sqe.cdw10 = std::to_underlying(action) | bit(ignore_key, 3) |
              (static_cast<std::uint32_t>(std::to_underlying(type)) << 8);
  return sqe;
}

SubmissionEntry reservation_release(std::uint32_t nsid, ReleaseAction action, bool ignore_key,
                                    ReservationType type) {
  SubmissionEntry sqe = make(NvmOpcode::kReservationRelease, nsid);
  sqe.cdw10 = std::to_underlying(action) | bit(ignore_key, 3) |
              (static_cast<std::uint32_t>(std::to_underlying(type)) << 8);
  return sqe;
}

SubmissionEntry reservation_report(std::uint32_t nsid, std::uint32_t length_bytes, bool extended) {
  CHECK(length_bytes % 4 == 0 && length_bytes >= 4);
  SubmissionEntry sqe = make(NvmOpcode::kReservationReport, nsid);
  sqe.cdw10 = length_bytes / 4 - 1;
  sqe.cdw11 = bit(extended, 0);
  return sqe;
}

SubmissionEntry copy(std::uint32_t nsid, std::uint64_t destination_lba, std::uint32_t range_count,
                     std::uint8_t format) {
  CHECK(range_count >= 1 && range_count <= 256 && format <= 0xf);
  SubmissionEntry sqe = make(NvmOpcode::kCopy, nsid);
  sqe.cdw10 = static_cast<std::uint32_t>(destination_lba);
  sqe.cdw11 = static_cast<std::uint32_t>(destination_lba >> 32);
  sqe.cdw12 = (range_count - 1) | (static_cast<std::uint32_t>(format) << 8);
  return sqe;
}

}  // namespace nvublk::nvme::command
