// The admin commands of Queue that manage the subsystem: Sanitize, firmware, self-tests, security
// and directives.

#include "nvme/spec/directive.h"
#include "target/queue.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

constexpr std::uint8_t kSecurityInformation = 0x00;  // SECP
constexpr std::size_t kSecurityPageBytes = 512;

/// Bit 0 of MUD in DW0. [Base 2.1 §5.1.8.1]
Reply firmware_reply(const Firmware::Result& result) {
  Reply reply = Reply::with_status(result.status);
  reply.result = result.overlapped ? 1 : 0;
  return reply;
}

/// The identifiers of open streams. [Base 2.1 §8.1.8.3.1.2]
std::vector<std::uint8_t> streams_status(const std::vector<std::uint16_t>& open) {
  std::vector<std::uint8_t> bytes = bytes_of(Le16(static_cast<std::uint16_t>(open.size())));
  for (const std::uint16_t stream : open) {
    const auto entry = bytes_of(Le16(stream));
    bytes.insert(bytes.end(), entry.begin(), entry.end());
  }
  return bytes;
}

/// No more than there is, and no more than was asked for. [Base 2.1 §5.1.6]
Reply at_most(std::vector<std::uint8_t> bytes, const SubmissionEntry& sqe) {
  const std::uint64_t wanted = (std::uint64_t{sqe.cdw10.get()} + 1) * 4;
  const auto length = static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted, bytes.size()));
  return Reply::with_data(std::move(bytes), length);
}

}  // namespace

Reply Queue::execute_management(const Sqe& sqe, Bytes data) {
  switch (sqe.admin_opcode()) {
    case AdminOpcode::kSanitize:
      return sanitize(sqe);
    case AdminOpcode::kFirmwareImageDownload:
      return firmware_download(sqe, data);
    case AdminOpcode::kFirmwareCommit:
      return firmware_commit(sqe);
    case AdminOpcode::kDeviceSelfTest:
      return device_self_test(sqe);
    case AdminOpcode::kSecurityReceive:
      return security_receive(sqe);
    case AdminOpcode::kSecuritySend:
      // Protocol 00h only informs. [Base 2.1 §5.1.23.2]
      return Reply::error(GenericStatus::kInvalidField);
    case AdminOpcode::kDirectiveReceive:
      return directive_receive(sqe);
    case AdminOpcode::kDirectiveSend:
      return directive_send(sqe);
    default:
      return Reply::error(GenericStatus::kInvalidOpcode);
  }
}

// [Base 2.1 §5.1.22]
Reply Queue::sanitize(const Sqe& sqe) {
  const SanitizeCommand command = SanitizeCommand::decode(sqe.cdw10.get());
  if (command.action == SanitizeAction::kExitFailureMode) {
    return Reply::with_status(subsystem_.sanitize().exit_failure_mode());
  }
  return Reply::with_status(
      subsystem_.begin_sanitize(controller_, sqe.cdw10.get(), sqe.cdw11.get()));
}

// [Base 2.1 §5.1.9]
Reply Queue::firmware_download(const Sqe& sqe, Bytes data) {
  const std::uint64_t length = (std::uint64_t{sqe.cdw10.get()} + 1) * 4;
  if (data.size() != length) return Reply::error(GenericStatus::kDataSglLengthInvalid);
  return firmware_reply(subsystem_.firmware().download(controller_->identity().cntlid,
                                                       std::uint64_t{sqe.cdw11.get()} * 4, data));
}

// [Base 2.1 §5.1.8]
Reply Queue::firmware_commit(const Sqe& sqe) {
  const auto action = static_cast<FirmwareAction>((sqe.cdw10.get() >> 3) & 0x7);
  const auto slot = static_cast<std::uint8_t>(sqe.cdw10.get() & 0x7);
  const Firmware::Result result =
      subsystem_.firmware().commit(controller_->identity().cntlid, action, slot);
  if (result.activated) subsystem_.announce_firmware();
  return firmware_reply(result);
}

// [Base 2.1 §5.1.5]
Reply Queue::device_self_test(const Sqe& sqe) {
  const auto test = static_cast<SelfTest>(sqe.cdw10.get() & 0xf);
  const std::uint32_t nsid = sqe.nsid.get();
  if (test == SelfTest::kAbort) {
    subsystem_.self_tests().abort(SelfTestOutcome::kAbortedByCommand);
    return Reply::success();
  }
  if (test != SelfTest::kShort && test != SelfTest::kExtended) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  nvublk::target::NamespaceList tested;
  if (nsid == kNsidBroadcast) {
    tested = *subsystem_.namespaces().list();
  } else if (nsid > NamespaceTable::kMaxNsid) {
    return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  } else if (nsid != kNsidNone) {
    const auto found = subsystem_.namespaces().find(nsid);
    if (found == nullptr) return Reply::error(GenericStatus::kInvalidField);
    tested.push_back(found);
  }
  return Reply::with_status(
      subsystem_.begin_self_test(test, controller_->identity().cntlid, std::move(tested)));
}

// [Base 2.1 §5.1.23.2] SPC-5: the list of security protocols, and the certificate, of which there
// is none.
Reply Queue::security_receive(const Sqe& sqe) {
  const auto protocol = static_cast<std::uint8_t>(sqe.cdw10.get() >> 24);
  const auto specific = static_cast<std::uint16_t>(sqe.cdw10.get() >> 8);
  const std::uint32_t length = sqe.cdw11.get();
  if (protocol != kSecurityInformation || specific > 1 ||
      length > subsystem_.options().max_transfer_bytes) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  if (length == 0) return Reply::success();
  std::vector<std::uint8_t> page(kSecurityPageBytes);
  if (specific == 0) page[7] = 1;  // how long the list is, which has protocol 00h
  return Reply::with_data(std::move(page), length);
}

// [Base 2.1 §5.1.6, §8.1.8]
Reply Queue::directive_receive(const Sqe& sqe) {
  const auto type = static_cast<DirectiveType>((sqe.cdw11.get() >> 8) & 0xff);
  const auto operation = static_cast<DirectiveReceiveOperation>(sqe.cdw11.get() & 0xff);
  const std::uint32_t nsid = sqe.nsid.get();
  const bool all = nsid == kNsidBroadcast;
  const auto* ns = namespaces_.find(nsid);
  if (ns == nullptr && !all) return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  const auto& host = controller_->identity().hostid;
  Directives& directives = subsystem_.directives();
  if (type == DirectiveType::kIdentify && !all &&
      operation == DirectiveReceiveOperation::kReturnParameters) {
    return at_most(bytes_of(directives.parameters(host, nsid)), sqe);
  }
  if (type != DirectiveType::kStreams || (!all && !directives.streams_enabled(host, nsid))) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  if (operation == DirectiveReceiveOperation::kReturnParameters) {
    return at_most(bytes_of(directives.streams(host, nsid, all ? 0 : (*ns)->block_size())), sqe);
  }
  if (operation == DirectiveReceiveOperation::kStreamsStatus) {
    return at_most(streams_status(directives.open_streams(host, nsid)), sqe);
  }
  if (operation != DirectiveReceiveOperation::kStreamsAllocate || all) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  auto streams = static_cast<std::uint16_t>(sqe.cdw12.get());
  const NvmeStatus status = directives.allocate(host, nsid, streams);
  return status.ok() ? Reply::success(streams) : Reply::with_status(status);
}

// [Base 2.1 §5.1.7, §8.1.8]
Reply Queue::directive_send(const Sqe& sqe) {
  const auto type = static_cast<DirectiveType>((sqe.cdw11.get() >> 8) & 0xff);
  const auto operation = static_cast<std::uint8_t>(sqe.cdw11.get());
  const auto stream = static_cast<std::uint16_t>(sqe.cdw11.get() >> 16);
  const std::uint32_t nsid = sqe.nsid.get();
  const bool all = nsid == kNsidBroadcast;
  if (namespaces_.find(nsid) == nullptr && !all) {
    return Reply::error(GenericStatus::kInvalidNamespaceOrFormat);
  }
  const auto& host = controller_->identity().hostid;
  Directives& directives = subsystem_.directives();
  if (type == DirectiveType::kIdentify && operation == kDirectiveEnable) {
    std::vector<std::uint32_t> nsids;
    const auto list = subsystem_.namespaces().list();
    for (const auto& ns : *list) {
      if (all || ns->nsid() == nsid) nsids.push_back(ns->nsid());
    }
    return Reply::with_status(directives.enable(host, nsids, sqe.cdw12.get()));
  }
  if (type != DirectiveType::kStreams || all || !directives.streams_enabled(host, nsid)) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  if (operation == static_cast<std::uint8_t>(StreamsSendOperation::kReleaseIdentifier)) {
    directives.release_stream(host, nsid, stream);
    return Reply::success();
  }
  if (operation == static_cast<std::uint8_t>(StreamsSendOperation::kReleaseResources)) {
    directives.release_resources(host, nsid);
    return Reply::success();
  }
  return Reply::error(GenericStatus::kInvalidField);
}

}  // namespace nvublk::target
