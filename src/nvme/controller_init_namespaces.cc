// ControllerInit, its last part: limits, log pages and features, namespaces, ANA.

#include <algorithm>
#include <cstring>
#include <utility>

#include "nvme/command.h"
#include "nvme/controller_init.h"

namespace nvublk::nvme {

namespace {

constexpr std::size_t kIdentifyNamespaceStep = ControllerInit::kFirstNamespaceStep + 1;
constexpr std::size_t kReadAnaLogStep = ControllerInit::kFirstNamespaceStep + 7;
// Longer logs are read in pieces.
constexpr std::uint64_t kMaxLogPieceBytes = 64 * 1024;

ControlAction admin_command(const spec::SubmissionEntry& sqe) {
  ControlAction action;
  action.kind = ControlAction::Kind::kAdminCommand;
  action.sqe = sqe;
  return action;
}

template <typename T>
T read_page(std::span<const std::byte> page) {
  static_assert(sizeof(T) <= spec::kIdentifyBytes);
  T value;
  std::memcpy(static_cast<void*>(&value), page.data(), sizeof(T));
  return value;
}

}  // namespace

std::optional<ControlAction> ControllerInit::identify_nvm_controller() {
  if (profile_.discovery) {
    return std::nullopt;
  }
  profile_.nvm = {};
  return identify(spec::IdentifyCns::kCommandSetController, 0);
}

// Controllers before NVMe 2.0 do not know it: then there are no such limits.
StepNext ControllerInit::keep_nvm_limits(const ControlOutcome& outcome) {
  if (!outcome.failure) {
    profile_.nvm = read_page<spec::IdentifyControllerNvm>(page_);
  }
  return StepNext::next();
}

std::optional<ControlAction> ControllerInit::read_log(spec::LogPage page) {
  if (profile_.discovery || !profile_.identify.supports_supported_logs()) {
    return std::nullopt;
  }
  static_assert(sizeof(spec::SupportedLogPagesLog) <= spec::kIdentifyBytes);
  page_.fill(std::byte{0});
  ControlAction action = admin_command(
      command::get_log_page({.page = page, .length_bytes = sizeof(spec::SupportedLogPagesLog)}));
  action.data = std::span(page_).first(sizeof(spec::SupportedLogPagesLog));
  return action;
}

std::optional<ControlAction> ControllerInit::read_log_pages() {
  return read_log(spec::LogPage::kSupportedLogPages);
}

StepNext ControllerInit::keep_log_pages(const ControlOutcome& outcome) {
  if (!outcome.failure) {
    profile_.log_pages = decode_supported(page_);
  }
  return StepNext::next();
}

std::optional<ControlAction> ControllerInit::read_features() {
  const auto page = static_cast<std::size_t>(spec::LogPage::kFeatureEffects);
  return profile_.log_pages.test(page) ? read_log(spec::LogPage::kFeatureEffects) : std::nullopt;
}

StepNext ControllerInit::keep_features(const ControlOutcome& outcome) {
  if (!outcome.failure) {
    profile_.features = decode_supported(page_);
  }
  return StepNext::next();
}

// The list came with NVMe 1.1. Who cannot give it answers for each NSID up to NN.
bool ControllerInit::can_list_namespaces() const {
  return profile_.quirks.has(Quirk::kNoActiveList) ? profile_.vs.at_least(1, 2)
                                                   : profile_.vs.at_least(1, 1);
}

std::optional<ControlAction> ControllerInit::list_namespaces() {
  if (profile_.discovery) {
    return std::nullopt;
  }
  if (!can_list_namespaces()) {
    const std::uint32_t count = std::min<std::uint32_t>(profile_.identify.nn.get(), kMaxNamespaces);
    for (std::uint32_t nsid = 1; nsid <= count; nsid++) {
      take_listed(nsid);
    }
    return std::nullopt;
  }
  const std::uint32_t after = profile_.namespaces.empty() ? 0 : profile_.namespaces.back().nsid;
  return identify(spec::IdentifyCns::kActiveNamespaceList, after);
}

StepNext ControllerInit::keep_namespace_list(const ControlOutcome&) {
  std::vector<std::uint32_t> nsids;
  const std::uint32_t after = profile_.namespaces.empty() ? 0 : profile_.namespaces.back().nsid;
  const Result<bool> full = append_namespace_list(page_, after, nsids);
  if (!full) {
    return StepNext::fail(full.error());
  }
  if (profile_.namespaces.size() + nsids.size() > kMaxNamespaces) {
    return StepNext::fail(Error::make(
        ErrorCode::kUnsupported,
        "the controller has more than " + std::to_string(kMaxNamespaces) + " namespaces"));
  }
  for (const std::uint32_t nsid : nsids) {
    take_listed(nsid);
  }
  if (*full) {
    return StepNext::repeat(Duration::zero());
  }
  return StepNext::jump(to_identify_.empty() ? kReadAnaLogStep : kIdentifyNamespaceStep);
}

// What a new look need not ask about is as it was.
void ControllerInit::take_listed(std::uint32_t nsid) {
  const auto known = std::ranges::find(known_, nsid, &NamespaceProfile::nsid);
  if (!only_.empty() && known != known_.end() && !std::ranges::binary_search(only_, nsid)) {
    profile_.namespaces.push_back(*known);
    return;
  }
  to_identify_.push_back(profile_.namespaces.size());
  profile_.namespaces.emplace_back().nsid = nsid;
}

std::optional<ControlAction> ControllerInit::identify_namespace() {
  if (to_identify_.empty()) {
    return std::nullopt;
  }
  return identify(spec::IdentifyCns::kNamespace, current().nsid);
}

// One that vanished since it was listed is answered with an error, or with zeroes.
StepNext ControllerInit::keep_namespace(const ControlOutcome& outcome) {
  NamespaceProfile& profile = current();
  if (outcome.failure) {
    const auto status = spec::NvmeStatus::from_bits(outcome.failure->nvme_status);
    if (!status.is(spec::GenericStatus::kInvalidNamespaceOrFormat) &&
        !status.is(spec::GenericStatus::kInvalidField)) {
      return StepNext::fail(*outcome.failure);
    }
    profile.gone = true;
    return next_namespace();
  }
  profile.data = read_page<spec::IdentifyNamespace>(page_);
  if (profile.data.nsze.get() == 0 && !profile.data.active()) {
    profile.gone = true;
    return next_namespace();
  }
  profile.ids.nguid = hex_unless_zero(profile.data.nguid);
  profile.ids.eui64 = hex_unless_zero(profile.data.eui64);
  profile.ana_group = profile.data.anagrpid.get();
  const bool has_descriptors =
      profile_.vs.at_least(1, 3) && !profile_.quirks.has(Quirk::kNoDescriptors);
  return has_descriptors ? StepNext::next() : next_namespace();
}

std::optional<ControlAction> ControllerInit::identify_descriptors() {
  if (to_identify_.empty()) {
    return std::nullopt;
  }
  return identify(spec::IdentifyCns::kNamespaceDescriptors, current().nsid);
}

// A controller that cannot say leaves what Identify Namespace said.
StepNext ControllerInit::keep_descriptors(const ControlOutcome& outcome) {
  if (outcome.failure) {
    return after_descriptors();
  }
  Result<NamespaceIds> decoded = decode_namespace_ids(page_);
  if (!decoded) {
    return StepNext::fail(std::move(decoded.error()));
  }
  NamespaceIds& ids = current().ids;
  ids.csi = decoded->csi;
  ids.uuid = std::move(decoded->uuid);
  if (!decoded->nguid.empty()) {
    ids.nguid = std::move(decoded->nguid);
  }
  if (!decoded->eui64.empty()) {
    ids.eui64 = std::move(decoded->eui64);
  }
  return after_descriptors();
}

// Only controllers with several I/O command sets have to know what comes next.
StepNext ControllerInit::after_descriptors() {
  return profile_.cap.supports_io_command_sets() && profile_.vs.at_least(2, 0) ? StepNext::next()
                                                                               : next_namespace();
}

std::optional<ControlAction> ControllerInit::identify_independent() {
  if (to_identify_.empty()) {
    return std::nullopt;
  }
  return identify(spec::IdentifyCns::kIndependentNamespace, current().nsid);
}

StepNext ControllerInit::keep_independent(const ControlOutcome& outcome) {
  if (!outcome.failure) {
    const auto data = read_page<spec::IdentifyNamespaceIndependent>(page_);
    current().ready = data.ready();
    current().ana_group = data.anagrpid.get();
  }
  return next_namespace();
}

StepNext ControllerInit::next_namespace() {
  if (const std::optional<std::size_t> step = command_set_step()) {
    return StepNext::jump(*step);
  }
  position_++;
  return StepNext::jump(position_ < to_identify_.size() ? kIdentifyNamespaceStep : kReadAnaLogStep);
}

// In one piece where that is allowed: not every controller knows offsets.
std::optional<ControlAction> ControllerInit::read_ana_log() {
  std::erase_if(profile_.namespaces, [](const NamespaceProfile& each) { return each.gone; });
  const spec::IdentifyController& identify = profile_.identify;
  if (profile_.discovery || !options_.read_ana_log || identify.ana_log_bytes() == 0) {
    return std::nullopt;
  }
  if (ana_log_.empty()) {
    ana_log_.resize(identify.ana_log_bytes());
  }
  const std::uint64_t most = std::min<std::uint64_t>(
      kMaxLogPieceBytes, identify.max_transfer_bytes(profile_.cap.min_page_bytes()));
  ana_piece_ = std::min<std::uint64_t>(ana_log_.size() - ana_log_read_, most);
  ControlAction action = admin_command(command::get_log_page({.page = spec::LogPage::kAna,
                                                              .length_bytes = ana_piece_,
                                                              .offset_bytes = ana_log_read_,
                                                              .retain_async_event = true}));
  action.data = std::span(ana_log_).subspan(ana_log_read_, ana_piece_);
  return action;
}

// Without it the states stay what they were: optimized, at first.
StepNext ControllerInit::keep_ana_log(const ControlOutcome& outcome) {
  if (outcome.failure) {
    return StepNext::next();
  }
  ana_log_read_ += ana_piece_;
  if (ana_log_read_ < ana_log_.size()) {
    return StepNext::repeat(Duration::zero());
  }
  Result<std::vector<AnaGroup>> groups = decode_ana_log(ana_log_);
  if (!groups) {
    return StepNext::fail(std::move(groups.error()));
  }
  profile_.ana_groups = std::move(*groups);
  return StepNext::next();
}

std::optional<ControlAction> ControllerInit::connect_io_queues() {
  if (profile_.discovery || rescans_) {
    return std::nullopt;
  }
  ControlAction action;
  action.kind = ControlAction::Kind::kConnectIoQueues;
  return action;
}

}  // namespace nvublk::nvme
