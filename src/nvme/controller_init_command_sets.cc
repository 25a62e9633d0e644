// ControllerInit, I/O command sets: which of them the controller is to offer, and what a
// namespace's own says of it. Most controllers and namespaces need none of this.

#include <bit>
#include <cstring>

#include "nvme/command.h"
#include "nvme/controller_init.h"
#include "nvme/spec/features.h"

namespace nvublk::nvme {

namespace {

constexpr std::size_t kProtectionStep = ControllerInit::kFirstNamespaceStep + 4;
constexpr std::size_t kZonedStep = kProtectionStep + 1;
constexpr std::size_t kAppendLimitStep = kZonedStep + 1;

constexpr std::uint64_t bit_of(spec::CommandSetIdentifier csi) {
  return std::uint64_t{1} << static_cast<unsigned>(csi);
}

// Which of several combinations has most of the sets whose namespaces can be used here; nothing if
// there is no choice.
std::optional<std::uint32_t> best_combination(const spec::IdentifyCommandSets& sets) {
  constexpr std::uint64_t kUsed = bit_of(spec::CommandSetIdentifier::kNvm) |
                                  bit_of(spec::CommandSetIdentifier::kZonedNamespace);
  std::optional<std::uint32_t> best;
  int most = -1;
  unsigned combinations = 0;
  for (std::uint32_t index = 0; index < sets.iocsc.size(); index++) {
    const std::uint64_t vector = sets.iocsc.at(index).get();
    if (vector == 0) {
      continue;
    }
    combinations++;
    if (const int used = std::popcount(vector & kUsed); used > most) {
      most = used;
      best = index;
    }
  }
  return combinations > 1 ? best : std::nullopt;
}

bool zoned(const NamespaceProfile& profile) {
  return profile.ids.csi == static_cast<std::uint8_t>(spec::CommandSetIdentifier::kZonedNamespace);
}

}  // namespace

std::optional<ControlAction> ControllerInit::identify_command_sets() {
  combination_.reset();
  if (profile_.discovery || cc_.css() != spec::CommandSetSelection::kAllSupported) {
    return std::nullopt;
  }
  return identify(spec::IdentifyCns::kCommandSets, 0);
}

// Not all controllers that have CSI know the list: they offer what they have.
StepNext ControllerInit::keep_command_sets(const ControlOutcome& outcome) {
  if (!outcome.failure) {
    spec::IdentifyCommandSets sets;
    std::memcpy(&sets, page_.data(), sizeof(sets));
    combination_ = best_combination(sets);
  }
  return StepNext::next();
}

// A controller refuses a combination that leaves out the set of a namespace it has; then what it
// offers stays.
std::optional<ControlAction> ControllerInit::select_command_sets() {
  if (!combination_) {
    return std::nullopt;
  }
  ControlAction action;
  action.kind = ControlAction::Kind::kAdminCommand;
  action.sqe = command::set_features(spec::FeatureId::kCommandSetProfile, *combination_);
  return action;
}

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
