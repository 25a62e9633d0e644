#include "target/queue.h"

#include <algorithm>

#include "nvme/spec/properties.h"
#include "nvme/spec/text.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

/// CRD in a status. [Base 2.1 §4.2.3]
constexpr unsigned kCrdBits = 0x3u << 11;

Reply invalid_parameter(std::size_t offset, bool in_data) {
  Reply reply = Reply::error(FabricsStatus::kInvalidParameters);
  reply.result = ConnectInvalidParameter{static_cast<std::uint16_t>(offset), in_data}.encode();
  return reply;
}

bool terminated(const std::array<char, kNqnFieldBytes>& field) {
  const std::size_t length = raw_text(field).size();
  return length != 0 && length <= kNqnMaxLength;
}

}  // namespace

std::uint16_t Queue::next_sqhd() {
  if (flow_control_disabled_) return 0;
  sqhd_ = static_cast<std::uint16_t>((sqhd_ + 1u) % entries_);
  return sqhd_;
}

CompletionEntry Queue::complete(const Sqe& sqe, const Reply& reply) {
  CompletionEntry cqe;
  cqe.set_result(reply.result);
  cqe.cid = sqe.cid.get();
  cqe.set_status(reply.status);
  const bool connect = sqe.is_fabrics() && sqe.fctype() == FabricsCommandType::kConnect;
  // FFFFh in the response to Connect grants that flow control is off. [Base 2.1 §6.3]
  cqe.sqhd = connect && flow_control_disabled_ ? std::uint16_t{0xffff} : next_sqhd();
  if (!reply.status.ok()) {
    stats_.errors.add();
    if (controller_ != nullptr && !sqe.is_fabrics()) {
      ErrorRecord record;
      record.qid = qid_;
      record.cid = sqe.cid.get();
      record.status = reply.status;
      record.lba = sqe.cdw10.get() | (std::uint64_t{sqe.cdw11.get()} << 32);
      record.nsid = sqe.nsid.get();
      const auto* ns = qid_ == 0 ? nullptr : namespaces_.find(record.nsid);
      if (ns != nullptr) record.csi = static_cast<std::uint8_t>((*ns)->command_set());
      record.opcode = sqe.opcode;
      controller_->record_error(record);
    }
  }
  return cqe;
}

CompletionEntry Queue::complete_held(std::uint16_t cid, std::uint32_t result, NvmeStatus status) {
  CompletionEntry cqe;
  cqe.dw0 = result;
  cqe.cid = cid;
  cqe.set_status(status);
  cqe.sqhd = next_sqhd();
  return cqe;
}

// CRD is for hosts that have enabled it. [Base 2.1 §5.1.25.1.14]
NvmeStatus Queue::allowed(NvmeStatus status) const {
  const bool delays = controller_ != nullptr && controller_->retry_delays();
  return delays ? status
                : NvmeStatus::from_bits(static_cast<std::uint16_t>(status.bits() & ~kCrdBits));
}

void Queue::hold_stuck(const Sqe& sqe) {
  if (controller_ != nullptr) controller_->hold_stuck(qid_, sqe.cid.get());
}

bool Queue::data_fits(const Sqe& sqe, std::uint64_t length) const {
  return sqe.sgl().length.get() == length;
}

std::optional<NvmeStatus> Queue::admit(const Sqe& sqe) {
  if (sqe.is_fabrics()) {
    if (sqe.fctype() == FabricsCommandType::kAuthenticationSend &&
        sqe.sgl().length.get() <= kAuthenticationMaxBytes) {
      return std::nullopt;
    }
    if (sqe.fctype() != FabricsCommandType::kConnect) {
      return NvmeStatus::make(GenericStatus::kInvalidField, true);
    }
    if (!data_fits(sqe, sizeof(ConnectData))) {
      return NvmeStatus::make(GenericStatus::kDataSglLengthInvalid, true);
    }
    return std::nullopt;
  }
  if (!connected() || !controller_->ready()) {
    return NvmeStatus::make(GenericStatus::kCommandSequenceError, true);
  }
  if (sqe.sgl().length.get() > subsystem_.options().max_transfer_bytes) {
    return NvmeStatus::make(GenericStatus::kInvalidField, true);
  }
  if (is_admin()) return admit_admin(sqe);
  if (const NvmeStatus status = subsystem_.sanitize().admit_io(); !status.ok()) return status;
  return admit_io(sqe);
}

Reply Queue::execute(const Sqe& sqe, Bytes data) {
  if (sqe.fuse() != Fuse::kNormal && (sqe.is_fabrics() || is_admin())) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  if (sqe.is_fabrics()) return execute_fabrics(sqe, data);
  if (unauthenticated()) return Reply::error(FabricsStatus::kAuthenticationRequired);
  if (!connected() || !controller_->ready()) {
    return Reply::error(GenericStatus::kCommandSequenceError);
  }
  // Fabrics have SGLs only. [Base 2.1 §4.1.1]
  if (sqe.psdt() != Psdt::kSglContiguousMetadata && sqe.psdt() != Psdt::kSglMetadataSgl) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  if (is_admin()) return execute_admin(sqe, data);
  if (const NvmeStatus status = subsystem_.sanitize().admit_io(); !status.ok()) {
    return refuse_io(status);
  }
  return sqe.fuse() != Fuse::kNormal || fused_ != nullptr ? execute_fused(sqe, data)
                                                          : execute_io(sqe, data);
}

Reply Queue::execute_fabrics(const Sqe& sqe, Bytes data) {
  if (!connected()) {
    if (sqe.fctype() == FabricsCommandType::kConnect) return connect(sqe, data);
    return Reply::error(GenericStatus::kCommandSequenceError);
  }
  const bool authenticates = sqe.fctype() == FabricsCommandType::kAuthenticationSend ||
                             sqe.fctype() == FabricsCommandType::kAuthenticationReceive;
  if (unauthenticated() && !authenticates) {
    return Reply::error(FabricsStatus::kAuthenticationRequired);
  }
  switch (sqe.fctype()) {
    case FabricsCommandType::kConnect:
      return Reply::error(GenericStatus::kCommandSequenceError);
    case FabricsCommandType::kAuthenticationSend:
      return authentication_send(sqe, data);
    case FabricsCommandType::kAuthenticationReceive:
      return authentication_receive(sqe);
    case FabricsCommandType::kPropertyGet:
      return is_admin() ? property_get(sqe) : Reply::error(GenericStatus::kInvalidField);
    case FabricsCommandType::kPropertySet:
      return is_admin() ? property_set(sqe) : Reply::error(GenericStatus::kInvalidField);
    case FabricsCommandType::kDisconnect:
    case FabricsCommandType::kVendorSpecificFirst:
      break;
  }
  return Reply::error(GenericStatus::kInvalidOpcode);
}

Reply Queue::connect(const Sqe& sqe, Bytes data) {
  const auto command = submission_entry_as<ConnectCommand>(sqe);
  if (data.size() < sizeof(ConnectData)) {
    return Reply::error(GenericStatus::kDataSglLengthInvalid);
  }
  ConnectData connect_data;
  std::memcpy(&connect_data, data.data(), sizeof(connect_data));
  if (command.recfmt.get() != 0) return Reply::error(FabricsStatus::kIncompatibleFormat);
  if (!terminated(connect_data.subnqn)) {
    return invalid_parameter(offsetof(ConnectData, subnqn), true);
  }
  if (!terminated(connect_data.hostnqn)) {
    return invalid_parameter(offsetof(ConnectData, hostnqn), true);
  }
  if (secure_names_ && secure_names_->first != raw_text(connect_data.hostnqn)) {
    return Reply::error(FabricsStatus::kInvalidHost);
  }
  if (secure_names_ && secure_names_->second != raw_text(connect_data.subnqn)) {
    return invalid_parameter(offsetof(ConnectData, subnqn), true);
  }
  const std::uint32_t entries = command.queue_entries();
  if (entries < 2 || entries > subsystem_.options().queue_entries) {
    return invalid_parameter(offsetof(ConnectCommand, sqsize), false);
  }
  Reply reply = command.qid.get() == 0 ? connect_admin(command, connect_data)
                                       : connect_io(command, connect_data);
  if (!reply.status.ok()) return reply;
  entries_ = entries;
  qid_ = command.qid.get();
  flow_control_disabled_ =
      command.disables_sq_flow_control() && subsystem_.options().sq_flow_control_disable;
  require_authentication(connect_data);
  if (authentication_) {
    reply.result =
        ConnectResult{.cntlid = controller_->identity().cntlid, .authentication_required = true}
            .encode();
  }
  return reply;
}

void Queue::require_authentication(const ConnectData& data) {
  for (const DhchapHostOptions& host : subsystem_.options().dhchap_hosts) {
    if (host.hostnqn == raw_text(data.hostnqn)) {
      authentication_.emplace(host, std::string(raw_text(data.subnqn)),
                              subsystem_.options().dhchap);
    }
  }
}

// [Base 2.1 §6.1, §6.2]
Reply Queue::authentication_send(const Sqe& sqe, Bytes data) {
  const auto command = submission_entry_as<AuthenticationCommand>(sqe);
  if (!authentication_ || command.secp != kAuthenticationSecp ||
      command.spsp0 != kAuthenticationSpsp || command.spsp1 != kAuthenticationSpsp ||
      command.length.get() != data.size()) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  authentication_->send(data);
  return Reply::success();
}

Reply Queue::authentication_receive(const Sqe& sqe) {
  const auto command = submission_entry_as<AuthenticationCommand>(sqe);
  if (!authentication_ || command.secp != kAuthenticationSecp ||
      command.spsp0 != kAuthenticationSpsp || command.spsp1 != kAuthenticationSpsp ||
      !data_fits(sqe, command.length.get())) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  std::vector<std::uint8_t> message = authentication_->receive();
  if (message.empty()) return Reply::error(GenericStatus::kCommandSequenceError);
  if (message.size() > command.length.get()) return Reply::error(GenericStatus::kInvalidField);
  return Reply::with_data(std::move(message), command.length.get());
}

Reply Queue::connect_admin(const ConnectCommand& command, const ConnectData& data) {
  if (data.cntlid.get() != kCntlidDynamic) {
    return invalid_parameter(offsetof(ConnectData, cntlid), true);
  }
  const std::string_view subnqn = raw_text(data.subnqn);
  Controller::Identity identity;
  identity.discovery = subnqn == kDiscoveryNqn;
  identity.hostid = data.hostid;
  identity.hostnqn = raw_text(data.hostnqn);
  if (!identity.discovery) {
    if (subnqn != subsystem_.options().subnqn) {
      return invalid_parameter(offsetof(ConnectData, subnqn), true);
    }
    if (!subsystem_.host_allowed(identity.hostnqn)) {
      return Reply::error(FabricsStatus::kInvalidHost);
    }
  }
  controller_ = subsystem_.create_controller(std::move(identity), command.kato.get(), owner_);
  if (controller_ == nullptr) return Reply::error(FabricsStatus::kControllerBusy, false);
  return Reply::success(ConnectResult{controller_->identity().cntlid}.encode());
}

Reply Queue::connect_io(const ConnectCommand& command, const ConnectData& data) {
  auto controller = subsystem_.find_controller(data.cntlid.get());
  if (controller == nullptr || controller->identity().discovery) {
    return invalid_parameter(offsetof(ConnectData, cntlid), true);
  }
  if (raw_text(data.subnqn) != subsystem_.options().subnqn) {
    return invalid_parameter(offsetof(ConnectData, subnqn), true);
  }
  if (raw_text(data.hostnqn) != controller->identity().hostnqn) {
    return invalid_parameter(offsetof(ConnectData, hostnqn), true);
  }
  if (data.hostid != controller->identity().hostid) {
    return invalid_parameter(offsetof(ConnectData, hostid), true);
  }
  if (!controller->ready()) return Reply::error(GenericStatus::kCommandSequenceError);
  if (!controller->attach_queue(command.qid.get(), owner_)) {
    return invalid_parameter(offsetof(ConnectCommand, qid), false);
  }
  controller_ = std::move(controller);
  return Reply::success(ConnectResult{controller_->identity().cntlid}.encode());
}

Reply Queue::property_get(const Sqe& sqe) {
  const auto command = submission_entry_as<PropertyGetCommand>(sqe);
  auto value =
      controller_->read_property(command.ofst.get(), command.size() == PropertySize::k8Bytes);
  if (value && static_cast<Property>(command.ofst.get()) == Property::kCsts &&
      subsystem_.faults().present(FaultKind::kFatalStatus, true)) {
    *value |= Csts::kFatal;
  }
  return value ? Reply::success(*value) : Reply::error(GenericStatus::kInvalidField);
}

Reply Queue::property_set(const Sqe& sqe) {
  const auto command = submission_entry_as<PropertySetCommand>(sqe);
  const bool was_ready = controller_->ready();
  const bool written = controller_->write_property(
      command.ofst.get(), command.size() == PropertySize::k8Bytes, command.value.get());
  if (was_ready && !controller_->ready()) subsystem_.controller_reset(*controller_);
  return written ? Reply::success() : Reply::error(GenericStatus::kInvalidField);
}

void Queue::close() {
  if (controller_ == nullptr) return;
  if (is_admin()) {
    subsystem_.remove_controller(controller_->identity().cntlid);
  } else {
    controller_->detach_queue(qid_);
  }
  controller_.reset();
  authentication_.reset();
}

}  // namespace nvublk::target
