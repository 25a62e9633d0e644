// ControllerInit, what the controller is told of its host: how to arbitrate, what the host
// understands, and who it is.

#include <algorithm>
#include <cstring>
#include <utility>

#include "nvme/command.h"
#include "nvme/controller_init.h"
#include "nvme/spec/features.h"

namespace nvublk::nvme {

namespace {

ControlAction set_feature(spec::FeatureId feature, std::uint32_t value) {
  ControlAction action;
  action.kind = ControlAction::Kind::kAdminCommand;
  action.sqe = command::set_features(feature, value);
  return action;
}

}  // namespace

std::optional<ControlAction> ControllerInit::configure_arbitration() {
  const ArbitrationOptions& wanted = profile_.arbitration;
  if (profile_.discovery || wanted.burst == 0) {
    return std::nullopt;
  }
  std::uint32_t value = wanted.burst & 7u;
  if (wanted.weighted) {
    value |= static_cast<std::uint32_t>(wanted.low) << 8 |
             static_cast<std::uint32_t>(wanted.medium) << 16 |
             static_cast<std::uint32_t>(wanted.high) << 24;
  }
  return set_feature(spec::FeatureId::kArbitration, value);
}

// A controller that refuses arbitrates as it likes.
StepNext ControllerInit::keep_arbitration(const ControlOutcome& outcome) {
  if (outcome.failure) {
    const bool weighted = profile_.arbitration.weighted;
    profile_.arbitration = {};
    profile_.arbitration.weighted = weighted;
  }
  return StepNext::next();
}

// Only hosts that say so get retry delays (ACRE), and may use namespaces that have guards of 32 or
// 64 bits (LBAFEE). [Base 2.1 §5.1.25.1.14; NVM 1.1 §4.1.3]
std::optional<ControlAction> ControllerInit::set_host_behavior() {
  const spec::IdentifyController& identify = profile_.identify;
  profile_.retry_delays = false;
  spec::HostBehavior behavior;
  behavior.acre =
      identify.crdt1.get() != 0 || identify.crdt2.get() != 0 || identify.crdt3.get() != 0;
  behavior.lbafee = !profile_.discovery && identify.supports_extended_lba_formats();
  if (behavior.acre == 0 && behavior.lbafee == 0) {
    return std::nullopt;
  }
  std::memcpy(page_.data(), &behavior, sizeof(behavior));
  ControlAction action = set_feature(spec::FeatureId::kHostBehavior, 0);
  action.data = std::span(page_).first(sizeof(behavior));
  return action;
}

StepNext ControllerInit::keep_retry_delays(const ControlOutcome& outcome) {
  const auto* sent = reinterpret_cast<const spec::HostBehavior*>(page_.data());
  profile_.retry_delays = !outcome.failure && sent->acre != 0;
  return StepNext::next();
}

// Over a fabric, Connect has said it.
std::optional<ControlAction> ControllerInit::set_host_identifier() {
  const auto& id = options_.host.id.bytes;
  if (fabrics_ || std::ranges::all_of(id, [](std::uint8_t byte) { return byte == 0; })) {
    return std::nullopt;
  }
  const bool extended = profile_.identify.supports_extended_host_id();
  const std::size_t length = extended ? id.size() : id.size() / 2;
  std::memcpy(page_.data(), id.data(), length);
  ControlAction action =
      set_feature(spec::FeatureId::kHostIdentifier, extended ? spec::kExtendedHostIdentifier : 0);
  action.data = std::span(page_).first(length);
  return action;
}

}  // namespace nvublk::nvme
