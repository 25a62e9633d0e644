// Get Log Page. [Base 2.1 §5.1.12]

#include "nvme/spec/log_pages.h"

#include <algorithm>

#include "nvme/spec/text.h"
#include "nvme/spec/tls.h"
#include "target/queue.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

constexpr LogPage kPages[] = {LogPage::kSupportedLogPages,    LogPage::kErrorInformation,
                              LogPage::kSmartHealth,          LogPage::kFirmwareSlot,
                              LogPage::kChangedNamespaceList, LogPage::kCommandEffects,
                              LogPage::kDeviceSelfTest,       LogPage::kSanitizeStatus};
constexpr AdminOpcode kAdminCommands[] = {AdminOpcode::kGetLogPage,
                                          AdminOpcode::kIdentify,
                                          AdminOpcode::kAbort,
                                          AdminOpcode::kSetFeatures,
                                          AdminOpcode::kGetFeatures,
                                          AdminOpcode::kAsyncEventRequest,
                                          AdminOpcode::kKeepAlive,
                                          AdminOpcode::kFirmwareCommit,
                                          AdminOpcode::kFirmwareImageDownload,
                                          AdminOpcode::kDeviceSelfTest,
                                          AdminOpcode::kDirectiveSend,
                                          AdminOpcode::kDirectiveReceive,
                                          AdminOpcode::kSecuritySend,
                                          AdminOpcode::kSecurityReceive,
                                          AdminOpcode::kSanitize};
constexpr NvmOpcode kReadingCommands[] = {NvmOpcode::kFlush,
                                          NvmOpcode::kRead,
                                          NvmOpcode::kCompare,
                                          NvmOpcode::kVerify,
                                          NvmOpcode::kReservationRegister,
                                          NvmOpcode::kReservationReport,
                                          NvmOpcode::kReservationAcquire,
                                          NvmOpcode::kReservationRelease,
                                          NvmOpcode::kZoneManagementReceive};
constexpr NvmOpcode kWritingCommands[] = {
    NvmOpcode::kWrite,     NvmOpcode::kWriteZeroes,        NvmOpcode::kDatasetManagement,
    NvmOpcode::kCopy,      NvmOpcode::kWriteUncorrectable, NvmOpcode::kZoneManagementSend,
    NvmOpcode::kZoneAppend};
constexpr std::uint16_t kRoomTemperatureKelvin = 298;

/// Thousands of 512 bytes, rounded up. [Base 2.1 §5.1.12.1.3]
std::uint64_t data_units(std::uint64_t bytes) {
  return (bytes / 512 + 999) / 1000;
}

std::vector<std::uint8_t> supported_pages() {
  SupportedLogPagesLog log;
  for (const LogPage page : kPages) log.lids[static_cast<std::size_t>(page)] = 1u;
  return bytes_of(log);
}

std::vector<std::uint8_t> command_effects() {
  CommandEffectsLog log;
  for (const AdminOpcode opcode : kAdminCommands) {
    log.admin[static_cast<std::size_t>(opcode)] = CommandEffectsLog::kSupported;
  }
  log.admin[static_cast<std::size_t>(AdminOpcode::kFirmwareCommit)] =
      CommandEffectsLog::kSupported | CommandEffectsLog::kControllerCapabilityChange;
  log.admin[static_cast<std::size_t>(AdminOpcode::kSanitize)] =
      CommandEffectsLog::kSupported | CommandEffectsLog::kBlockContentChange |
      CommandEffectsLog::kNoOtherCommands;
  for (const NvmOpcode opcode : kReadingCommands) {
    log.io[static_cast<std::size_t>(opcode)] = CommandEffectsLog::kSupported;
  }
  for (const NvmOpcode opcode : kWritingCommands) {
    log.io[static_cast<std::size_t>(opcode)] =
        CommandEffectsLog::kSupported | CommandEffectsLog::kBlockContentChange;
  }
  return bytes_of(log);
}

std::vector<std::uint8_t> changed_namespace_log(const std::vector<std::uint32_t>& changed) {
  ChangedNamespaceListLog log;
  for (std::size_t i = 0; i < changed.size() && i < log.nsid.size(); i++) {
    log.nsid[i] = changed[i];
  }
  return bytes_of(log);
}

}  // namespace

Reply Queue::get_log_page(const Sqe& sqe) {
  const auto lid = static_cast<std::uint8_t>(sqe.cdw10.get());
  const bool retain = (sqe.cdw10.get() & (1u << 15)) != 0;
  const std::uint64_t dwords =
      ((sqe.cdw10.get() >> 16) | (std::uint64_t{sqe.cdw11.get() & 0xffff} << 16)) + 1;
  const std::uint64_t offset = sqe.cdw12.get() | (std::uint64_t{sqe.cdw13.get()} << 32);
  const std::uint64_t length = dwords * 4;
  if (offset % 4 != 0 || (sqe.cdw14.get() & (1u << 23)) != 0 ||
      length > subsystem_.options().max_transfer_bytes) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  // LPA says that there is none for each namespace. [Base 2.1 §5.1.12.1.3]
  if (lid == static_cast<std::uint8_t>(LogPage::kSmartHealth) &&
      !controller_->identity().discovery && sqe.nsid.get() != 0 &&
      sqe.nsid.get() != kNsidBroadcast) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  auto page = log_page(lid, retain);
  if (!page) return Reply::error(CommandStatus::kInvalidLogPage);
  if (offset > page->size()) return Reply::error(GenericStatus::kInvalidField);
  page->erase(page->begin(), page->begin() + static_cast<std::ptrdiff_t>(offset));
  return Reply::with_data(std::move(*page), static_cast<std::uint32_t>(length));
}

std::optional<std::vector<std::uint8_t>> Queue::log_page(std::uint8_t lid, bool retain) {
  const auto page = static_cast<LogPage>(lid);
  // Before it is read: what changes meanwhile is an event again.
  if (!retain) controller_->log_read(page);
  if (controller_->identity().discovery) {
    if (page != LogPage::kDiscovery) return std::nullopt;
    return discovery_log();
  }
  if (page == LogPage::kSupportedLogPages) return supported_pages();
  if (page == LogPage::kErrorInformation) return error_log();
  if (page == LogPage::kSmartHealth) return smart_log();
  if (page == LogPage::kFirmwareSlot) return bytes_of(subsystem_.firmware().log());
  if (page == LogPage::kDeviceSelfTest) return bytes_of(subsystem_.self_tests().log());
  if (page == LogPage::kSanitizeStatus) {
    return bytes_of(subsystem_.sanitize().log(*subsystem_.namespaces().list()));
  }
  if (page == LogPage::kChangedNamespaceList) {
    return changed_namespace_log(controller_->changed_namespaces(retain));
  }
  if (page == LogPage::kCommandEffects) return command_effects();
  return std::nullopt;
}

std::vector<std::uint8_t> Queue::error_log() {
  std::vector<std::uint8_t> log;
  const bool sanitizing = subsystem_.sanitize().in_progress();
  for (const ErrorRecord& record : controller_->errors()) {
    ErrorLogEntry entry;
    entry.error_count = record.number;
    entry.sqid = record.qid;
    entry.cid = record.cid;
    entry.status_field = static_cast<std::uint16_t>(record.status.bits() << 1);
    entry.parameter_error_location = std::uint16_t{0xffff};
    // It could tell of user data. [NVM 1.1 §5.12]
    if (!sanitizing) entry.lba = record.lba;
    entry.nsid = record.nsid;
    entry.trtype = static_cast<std::uint8_t>(TransportTypeCode::kTcp);
    entry.csi = record.csi;
    entry.opcode = record.opcode;
    entry.log_page_version = 1;
    const auto bytes = bytes_of(entry);
    log.insert(log.end(), bytes.begin(), bytes.end());
  }
  log.resize(Controller::kErrorRecords * sizeof(ErrorLogEntry));
  return log;
}

std::vector<std::uint8_t> Queue::smart_log() {
  const Stats stats = subsystem_.stats();
  SmartLog log;
  log.composite_temperature_kelvin = kRoomTemperatureKelvin;
  log.available_spare_percent = 100;
  log.available_spare_threshold_percent = 10;
  log.data_units_read.low_part = data_units(stats.read_bytes);
  log.data_units_written.low_part = data_units(stats.written_bytes);
  log.host_read_commands.low_part = stats.io_commands[static_cast<std::size_t>(NvmOpcode::kRead)];
  log.host_write_commands.low_part = stats.io_commands[static_cast<std::size_t>(NvmOpcode::kWrite)];
  log.error_log_entries.low_part = controller_->error_count();
  log.power_on_hours.low_part = subsystem_.power_on_hours();
  return bytes_of(log);
}

// [Base 2.1 §5.1.12.3.1]
std::vector<std::uint8_t> Queue::discovery_log() {
  std::vector<ListenAddress> ports;
  if (subsystem_.host_allowed(controller_->identity().hostnqn)) ports = subsystem_.listening();
  const Subsystem::Referrals referrals = subsystem_.referrals();
  DiscoveryLogHeader head;
  head.genctr = referrals.generation;
  head.numrec = ports.size() + referrals.list.size();
  auto log = bytes_of(head);
  std::uint16_t portid = 0;
  const auto add = [&](const ListenAddress& where, SubsystemType type, std::string_view subnqn) {
    const bool any = where.address == "0.0.0.0" || where.address == "::";
    const std::string& address = any ? local_.address : where.address;
    const bool ipv6 = address.find(':') != std::string::npos;
    DiscoveryLogEntry entry;
    entry.trtype = static_cast<std::uint8_t>(TransportTypeCode::kTcp);
    entry.adrfam =
        static_cast<std::uint8_t>(ipv6 ? AddressFamilyCode::kIpv6 : AddressFamilyCode::kIpv4);
    entry.subtype = static_cast<std::uint8_t>(type);
    const bool no_flow_control = subsystem_.options().sq_flow_control_disable;
    entry.treq = no_flow_control ? 1u << 2 : 0;
    if (subsystem_.tls() != nullptr && type == SubsystemType::kNvme) {
      entry.treq |= kSecureChannelRequired;
      entry.tsas[0] = static_cast<std::uint8_t>(SecurityType::kTls13);
    }
    entry.portid = portid++;
    entry.cntlid = kCntlidDynamic;
    entry.asqsz = std::uint16_t{32};
    fill_text(entry.trsvcid, std::to_string(where.port), ' ');
    fill_text(entry.subnqn, subnqn, '\0');
    fill_text(entry.traddr, address, ' ');
    const auto bytes = bytes_of(entry);
    log.insert(log.end(), bytes.begin(), bytes.end());
  };
  for (const ListenAddress& port : ports) {
    add(port, SubsystemType::kNvme, subsystem_.options().subnqn);
  }
  for (const ListenAddress& referral : referrals.list) {
    add(referral, SubsystemType::kReferral, kDiscoveryNqn);
  }
  return log;
}

}  // namespace nvublk::target
