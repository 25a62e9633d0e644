// The admin commands of Queue but Identify and Get Log Page.

#include <algorithm>

#include "nvme/spec/features.h"
#include "target/queue.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

/// Asynchronous events that the target can send. [Base 2.1 §5.1.25]
constexpr std::uint32_t kEventConfigBits =
    kAsyncSmartAll | kAsyncNamespaceAttribute | kAsyncFirmwareActivation;
/// Abort's DW0 bit 0: the command was not aborted. [Base 2.1 §5.1.1]
constexpr std::uint32_t kNotAborted = 1;

/// SEL 011b: what can be done with a feature; bit 2 is "changeable". [Base 2.1 §5.1.11]
constexpr std::uint32_t kChangeable = 1u << 2;

}  // namespace

// The admin commands that take data.
std::optional<NvmeStatus> Queue::admit_admin(const Sqe& sqe) const {
  const AdminOpcode opcode = sqe.admin_opcode();
  if (opcode == AdminOpcode::kSetFeatures) return std::nullopt;
  if (controller_->identity().discovery ||
      (opcode != AdminOpcode::kFirmwareImageDownload && opcode != AdminOpcode::kSecuritySend &&
       opcode != AdminOpcode::kDirectiveSend)) {
    return NvmeStatus::make(GenericStatus::kInvalidOpcode, true);
  }
  if (const NvmeStatus status = subsystem_.sanitize().admit_admin(sqe); !status.ok()) {
    return status;
  }
  return std::nullopt;
}

Reply Queue::execute_admin(const Sqe& sqe, Bytes data) {
  const AdminOpcode opcode = sqe.admin_opcode();
  const bool discovery = controller_->identity().discovery;
  if (!discovery) {
    const NvmeStatus status = subsystem_.sanitize().admit_admin(sqe);
    if (!status.ok()) return Reply::with_status(status);
  }
  if (opcode == AdminOpcode::kIdentify) return identify(sqe);
  if (opcode == AdminOpcode::kGetLogPage) return get_log_page(sqe);
  if (opcode == AdminOpcode::kSetFeatures) return set_features(sqe, data);
  if (opcode == AdminOpcode::kGetFeatures) return get_features(sqe);
  if (opcode == AdminOpcode::kAsyncEventRequest) return async_event_request(sqe);
  if (opcode == AdminOpcode::kKeepAlive) return keep_alive();
  if (discovery) return Reply::error(GenericStatus::kInvalidOpcode);
  if (opcode == AdminOpcode::kAbort) return abort(sqe);
  return execute_management(sqe, data);
}

// What is being executed cannot be aborted, and nothing waits here but what is stuck or held.
Reply Queue::abort(const Sqe& sqe) {
  const auto sqid = static_cast<std::uint16_t>(sqe.cdw10.get());
  const auto cid = static_cast<std::uint16_t>(sqe.cdw10.get() >> 16);
  return Reply::success(controller_->abort(sqid, cid) ? 0 : kNotAborted);
}

Reply Queue::set_features(const Sqe& sqe, Bytes data) {
  const auto feature = static_cast<FeatureId>(sqe.cdw10.get() & 0xff);
  const std::uint32_t value = sqe.cdw11.get();
  if ((sqe.cdw10.get() >> 31) != 0) return Reply::error(CommandStatus::kFeatureNotSaveable);
  const bool discovery = controller_->identity().discovery;
  if (feature == FeatureId::kKeepAliveTimer) {
    controller_->set_kato_ms(value);
    return Reply::success();
  }
  if (feature == FeatureId::kAsyncEventConfig) {
    if (discovery) {
      controller_->set_event_config(value & kAsyncDiscoveryLog);
      return Reply::success();
    }
    if ((value & ~kEventConfigBits) != 0) return Reply::error(GenericStatus::kInvalidField);
    controller_->set_event_config(value);
    return Reply::success();
  }
  if (feature == FeatureId::kNumberOfQueues && !discovery) {
    // 65535 in either half would be 65536 queues, which cannot be. [Base 2.1 §5.1.25]
    if ((value & 0xffff) == 0xffff || (value >> 16) == 0xffff) {
      return Reply::error(GenericStatus::kInvalidField);
    }
    const std::uint16_t granted =
        controller_->grant_io_queues(NumberOfQueues::decode(value).pair_count());
    return Reply::success(NumberOfQueues{granted, granted}.encode());
  }
  if (feature == FeatureId::kVolatileWriteCache && !discovery) {
    controller_->set_write_cache((value & kVolatileWriteCacheEnable) != 0);
    return Reply::success();
  }
  if (feature == FeatureId::kHostBehavior && !discovery) {
    HostBehavior behavior;
    if (data.size() < sizeof(behavior)) return Reply::error(GenericStatus::kDataSglLengthInvalid);
    std::memcpy(&behavior, data.data(), sizeof(behavior));
    if (behavior.acre > 1) return Reply::error(GenericStatus::kInvalidField);
    controller_->set_retry_delays(behavior.acre == 1);
    return Reply::success();
  }
  return Reply::error(GenericStatus::kInvalidField);
}

Reply Queue::get_features(const Sqe& sqe) {
  const auto feature = static_cast<FeatureId>(sqe.cdw10.get() & 0xff);
  const auto select = static_cast<FeatureSelect>((sqe.cdw10.get() >> 8) & 0x7);
  if (select > FeatureSelect::kSupportedCapabilities) {
    return Reply::error(GenericStatus::kInvalidField);
  }
  const bool current = select == FeatureSelect::kCurrent;
  const bool discovery = controller_->identity().discovery;
  std::uint32_t value = 0;
  if (feature == FeatureId::kKeepAliveTimer) {
    value = current ? controller_->kato_ms() : 0;
  } else if (feature == FeatureId::kAsyncEventConfig) {
    value = current ? controller_->event_config() : 0;
  } else if (feature == FeatureId::kNumberOfQueues && !discovery) {
    const std::uint16_t count =
        current ? controller_->granted_io_queues() : subsystem_.options().io_queues;
    value = NumberOfQueues{count, count}.encode();
  } else if (feature == FeatureId::kVolatileWriteCache && !discovery) {
    value = !current || controller_->write_cache() ? kVolatileWriteCacheEnable : 0;
  } else if (feature == FeatureId::kHostBehavior && !discovery &&
             select != FeatureSelect::kSupportedCapabilities) {
    HostBehavior behavior;
    behavior.acre = current && controller_->retry_delays() ? 1 : 0;
    return Reply::with_data(bytes_of(behavior), sizeof(behavior));
  } else if (feature == FeatureId::kHostBehavior && !discovery) {
    value = 0;
  } else {
    return Reply::error(GenericStatus::kInvalidField);
  }
  if (select == FeatureSelect::kSupportedCapabilities) value = kChangeable;
  return Reply::success(value);
}

Reply Queue::async_event_request(const Sqe& sqe) {
  if (!controller_->hold_event_request(sqe.cid.get())) {
    return Reply::error(CommandStatus::kAsyncEventLimitExceeded);
  }
  Reply reply;
  reply.held = true;
  return reply;
}

Reply Queue::keep_alive() {
  controller_->note_keep_alive();
  return Reply::success();
}

}  // namespace nvublk::target
