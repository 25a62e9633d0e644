#include "service/passthrough_text.h"

#include <array>
#include <cstdio>
#include <map>

#include "nvme/spec/opcodes.h"

namespace nvublk::service {

namespace {

using nvme::spec::AdminOpcode;
using nvme::spec::NvmOpcode;

const char* admin_name(AdminOpcode opcode) {
  static const std::map<AdminOpcode, const char*> names = {
      {AdminOpcode::kGetLogPage, "Get Log Page"},
      {AdminOpcode::kIdentify, "Identify"},
      {AdminOpcode::kAbort, "Abort"},
      {AdminOpcode::kSetFeatures, "Set Features"},
      {AdminOpcode::kGetFeatures, "Get Features"},
      {AdminOpcode::kNamespaceManagement, "Namespace Management"},
      {AdminOpcode::kFirmwareCommit, "Firmware Commit"},
      {AdminOpcode::kFirmwareImageDownload, "Firmware Image Download"},
      {AdminOpcode::kDeviceSelfTest, "Device Self-test"},
      {AdminOpcode::kNamespaceAttachment, "Namespace Attachment"},
      {AdminOpcode::kKeepAlive, "Keep Alive"},
      {AdminOpcode::kDirectiveSend, "Directive Send"},
      {AdminOpcode::kDirectiveReceive, "Directive Receive"},
      {AdminOpcode::kVirtualizationManagement, "Virtualization Management"},
      {AdminOpcode::kNvmeMiSend, "NVMe-MI Send"},
      {AdminOpcode::kNvmeMiReceive, "NVMe-MI Receive"},
      {AdminOpcode::kCapacityManagement, "Capacity Management"},
      {AdminOpcode::kLockdown, "Lockdown"},
      {AdminOpcode::kFormatNvm, "Format NVM"},
      {AdminOpcode::kSecuritySend, "Security Send"},
      {AdminOpcode::kSecurityReceive, "Security Receive"},
      {AdminOpcode::kSanitize, "Sanitize"},
      {AdminOpcode::kGetLbaStatus, "Get LBA Status"},
  };
  const auto found = names.find(opcode);
  return found != names.end()                          ? found->second
         : opcode >= AdminOpcode::kVendorSpecificFirst ? "Vendor specific"
                                                       : "Unknown";
}

const char* io_name(NvmOpcode opcode) {
  static const std::map<NvmOpcode, const char*> names = {
      {NvmOpcode::kFlush, "Flush"},
      {NvmOpcode::kWrite, "Write"},
      {NvmOpcode::kRead, "Read"},
      {NvmOpcode::kWriteUncorrectable, "Write Uncorrectable"},
      {NvmOpcode::kCompare, "Compare"},
      {NvmOpcode::kWriteZeroes, "Write Zeroes"},
      {NvmOpcode::kDatasetManagement, "Dataset Management"},
      {NvmOpcode::kVerify, "Verify"},
      {NvmOpcode::kReservationRegister, "Reservation Register"},
      {NvmOpcode::kReservationReport, "Reservation Report"},
      {NvmOpcode::kReservationAcquire, "Reservation Acquire"},
      {NvmOpcode::kIoManagementReceive, "I/O Management Receive"},
      {NvmOpcode::kReservationRelease, "Reservation Release"},
      {NvmOpcode::kCancel, "Cancel"},
      {NvmOpcode::kCopy, "Copy"},
      {NvmOpcode::kIoManagementSend, "I/O Management Send"},
      {NvmOpcode::kZoneManagementSend, "Zone Management Send"},
      {NvmOpcode::kZoneManagementReceive, "Zone Management Receive"},
      {NvmOpcode::kZoneAppend, "Zone Append"},
  };
  const auto found = names.find(opcode);
  return found == names.end() ? "Unknown" : found->second;
}

}  // namespace

std::string command_name_text(bool io, std::uint8_t opcode) {
  return io ? io_name(static_cast<NvmOpcode>(opcode))
            : admin_name(static_cast<AdminOpcode>(opcode));
}

std::string show_command_text(const Json& params) {
  std::string text;
  const auto line = [&](const char* label, std::uint64_t value, int digits) {
    std::array<char, 64> row{};
    std::snprintf(row.data(), row.size(), "%-13s: %0*llx\n", label, digits,
                  static_cast<unsigned long long>(value));
    text += row.data();
  };
  const auto of = [&params](const char* key) { return params.value(key, std::uint64_t{0}); };
  line("opcode", of("opcode"), 2);
  line("flags", 0, 2);
  line("rsvd1", 0, 4);
  line("nsid", of("namespace-id"), 8);
  line("cdw2", of("cdw2"), 8);
  line("cdw3", of("cdw3"), 8);
  line("data_len", of("data-len"), 8);
  line("metadata_len", of("metadata-len"), 8);
  line("addr", 0, 1);
  line("metadata", 0, 1);
  for (const char* dword : {"cdw10", "cdw11", "cdw12", "cdw13", "cdw14", "cdw15"}) {
    line(dword, of(dword), 8);
  }
  line("timeout_ms", of("timeout"), 8);
  return text;
}

}  // namespace nvublk::service
