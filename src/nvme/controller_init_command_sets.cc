// ControllerInit, what a namespace's own command set says of it. Most namespaces need none of this.

#include <cstring>

#include "nvme/controller_init.h"

namespace nvublk::nvme {

namespace {

constexpr std::size_t kProtectionStep = ControllerInit::kFirstNamespaceStep + 4;
constexpr std::size_t kZonedStep = kProtectionStep + 1;
constexpr std::size_t kAppendLimitStep = kZonedStep + 1;

bool zoned(const NamespaceProfile& profile) {
  return profile.ids.csi == static_cast<std::uint8_t>(spec::CommandSetIdentifier::kZonedNamespace);
}

}  // namespace

// Which question about the current namespace has not been asked.
std::optional<std::size_t> ControllerInit::command_set_step() const {
  if (position_ >= to_identify_.size()) {
    return std::nullopt;
  }
  const NamespaceProfile& profile = current();
  if (profile.data.protection_type() != 0 && profile_.identify.supports_extended_lba_formats() &&
      !profile.format.protection_asked) {
    return kProtectionStep;
  }
  if (zoned(profile) && !profile.format.zones_asked) {
    return kZonedStep;
  }
  if (zoned(profile) && !profile_.append_limit_bytes) {
    return kAppendLimitStep;
  }
  return std::nullopt;
}

std::optional<ControlAction> ControllerInit::identify_protection() {
  if (command_set_step() != kProtectionStep) {
    return std::nullopt;
  }
  return identify(spec::IdentifyCns::kCommandSetNamespace, current().nsid);
}

StepNext ControllerInit::keep_protection(const ControlOutcome& outcome) {
  NamespaceProfile& profile = current();
  profile.format.protection_asked = true;
  profile.format.guard_bits = 0;
  if (!outcome.failure) {
    using Data = spec::IdentifyNamespaceNvm;
    Data data;
    std::memcpy(&data, page_.data(), sizeof(data));
    const Le32 format = data.elbaf.at(profile.data.lba_format_index());
    constexpr std::uint8_t kGuardBits[] = {16, 32, 64, 0};
    profile.format.guard_bits = kGuardBits[Data::guard_format(format)];
    profile.format.storage_tag_bits = static_cast<std::uint8_t>(Data::storage_tag_bits(format));
  }
  return next_namespace();
}

std::optional<ControlAction> ControllerInit::identify_zoned() {
  if (command_set_step() != kZonedStep) {
    return std::nullopt;
  }
  return identify(spec::IdentifyCns::kCommandSetNamespace, current().nsid,
                  spec::CommandSetIdentifier::kZonedNamespace);
}

// A controller that cannot say leaves a namespace whose zones nobody can use.
StepNext ControllerInit::keep_zoned(const ControlOutcome& outcome) {
  NamespaceProfile& profile = current();
  profile.format.zones_asked = true;
  if (!outcome.failure) {
    spec::IdentifyNamespaceZoned data;
    std::memcpy(&data, page_.data(), sizeof(data));
    profile.format.zones = zoned_format(data, profile.data.lba_format_index());
  }
  return next_namespace();
}

std::optional<ControlAction> ControllerInit::identify_append_limit() {
  if (command_set_step() != kAppendLimitStep) {
    return std::nullopt;
  }
  return identify(spec::IdentifyCns::kCommandSetController, 0,
                  spec::CommandSetIdentifier::kZonedNamespace);
}

StepNext ControllerInit::keep_append_limit(const ControlOutcome& outcome) {
  profile_.append_limit_bytes = spec::kNoLimit;
  if (!outcome.failure) {
    spec::IdentifyControllerZoned data;
    std::memcpy(&data, page_.data(), sizeof(data));
    profile_.append_limit_bytes = data.append_limit_bytes(profile_.cap.min_page_bytes());
  }
  return next_namespace();
}

}  // namespace nvublk::nvme
