#include "target/subsystem.h"

#include <algorithm>

namespace nvublk::target {

namespace {

/// The last CNTLID that may be given; from FFF0h on they are reserved. [Base 2.1 §5.1.13.2.1]
constexpr std::uint16_t kLastCntlid = 0xffef;

/// So that the discovery log stays small.
constexpr std::size_t kMostReferrals = 64;

}  // namespace

Result<std::uint32_t> Subsystem::add_namespace(const NamespaceOptions& options) {
  auto nsid = namespaces_.add(options);
  if (nsid) announce(*nsid);
  return nsid;
}

Status Subsystem::remove_namespace(std::uint32_t nsid) {
  auto removed = namespaces_.remove(nsid);
  if (!removed) return removed;
  self_tests_.namespace_removed(nsid);
  directives_.namespace_removed(nsid);
  announce(nsid);
  return removed;
}

Status Subsystem::resize_namespace(std::uint32_t nsid, std::uint64_t size_bytes) {
  auto resized = namespaces_.resize(nsid, size_bytes);
  if (resized) announce(nsid);
  return resized;
}

void Subsystem::announce(std::uint32_t nsid) {
  for (const auto& controller : controllers()) {
    if (!controller->identity().discovery) controller->namespace_changed(nsid);
  }
}

Status Subsystem::add_referral(const ListenAddress& address) {
  {
    const std::lock_guard lock(mutex_);
    if (referrals_.list.size() == kMostReferrals) {
      return fail(ErrorCode::kNoResources,
                  "there are " + std::to_string(kMostReferrals) + " referrals already");
    }
    if (std::ranges::find(referrals_.list, address) != referrals_.list.end()) {
      return fail(ErrorCode::kAlreadyExists, "there is this referral already");
    }
    referrals_.list.push_back(address);
    referrals_.generation++;
  }
  announce_discovery_log();
  return {};
}

Status Subsystem::remove_referral(const ListenAddress& address) {
  {
    const std::lock_guard lock(mutex_);
    if (std::erase(referrals_.list, address) == 0) {
      return fail(ErrorCode::kNotFound, "there is no such referral");
    }
    referrals_.generation++;
  }
  announce_discovery_log();
  return {};
}

Subsystem::Referrals Subsystem::referrals() const {
  const std::lock_guard lock(mutex_);
  return referrals_;
}

void Subsystem::announce_discovery_log() {
  for (const auto& controller : controllers()) {
    if (controller->identity().discovery) controller->discovery_log_changed();
  }
}

bool Subsystem::host_allowed(std::string_view hostnqn) const {
  return options_.allowed_hosts.empty() ||
         std::ranges::find(options_.allowed_hosts, hostnqn) != options_.allowed_hosts.end();
}

std::shared_ptr<Controller> Subsystem::create_controller(Controller::Identity identity,
                                                         std::uint32_t kato_ms,
                                                         std::weak_ptr<QueueOwner> admin) {
  const std::lock_guard lock(mutex_);
  if (controllers_.size() >= kLastCntlid) return nullptr;
  while (controllers_.contains(next_cntlid_)) {
    next_cntlid_ = next_cntlid_ == kLastCntlid ? std::uint16_t{1}
                                               : static_cast<std::uint16_t>(next_cntlid_ + 1);
  }
  identity.cntlid = next_cntlid_;
  next_cntlid_ =
      next_cntlid_ == kLastCntlid ? std::uint16_t{1} : static_cast<std::uint16_t>(next_cntlid_ + 1);
  const std::uint16_t cntlid = identity.cntlid;
  auto controller =
      std::make_shared<Controller>(std::move(identity), options_, kato_ms, std::move(admin));
  controllers_.emplace(cntlid, controller);
  return controller;
}

std::shared_ptr<Controller> Subsystem::find_controller(std::uint16_t cntlid) const {
  const std::lock_guard lock(mutex_);
  const auto found = controllers_.find(cntlid);
  return found == controllers_.end() ? nullptr : found->second;
}

void Subsystem::remove_controller(std::uint16_t cntlid) {
  std::shared_ptr<Controller> controller;
  {
    const std::lock_guard lock(mutex_);
    const auto found = controllers_.find(cntlid);
    if (found == controllers_.end()) return;
    controller = std::move(found->second);
    controllers_.erase(found);
  }
  controller->close_queues(true);
  controller_reset(*controller);
}

void Subsystem::controller_reset(const Controller& controller) {
  const Controller::Identity& identity = controller.identity();
  if (identity.discovery) return;
  firmware_.controller_reset();
  self_tests_.controller_reset(identity.cntlid);
  // [Base 2.1 §8.1.8.2.2.1] Another controller of the host keeps its directives.
  const auto all = controllers();
  const bool others = std::ranges::any_of(all, [&](const auto& each) {
    return each.get() != &controller && each->ready() && !each->identity().discovery &&
           each->identity().hostid == identity.hostid;
  });
  if (!others) directives_.host_gone(identity.hostid);
}

NvmeStatus Subsystem::begin_sanitize(const std::shared_ptr<Controller>& controller,
                                     std::uint32_t cdw10, std::uint32_t pattern) {
  using namespace nvme::spec;
  Sanitize::Request request;
  request.command = SanitizeCommand::decode(cdw10);
  request.cdw10 = cdw10;
  request.pattern = pattern;
  request.namespaces = namespaces_.list();
  request.least = std::chrono::milliseconds(options_.sanitize_time_ms);
  // Only the controller that was asked reports it. [Base 2.1 §8.1.24.2]
  request.completed = [weak = std::weak_ptr(controller)] {
    if (const auto asked = weak.lock()) asked->sanitize_completed();
  };
  if (const auto wrong = sanitize_.check(request.command, *request.namespaces); !wrong.ok()) {
    return wrong;
  }
  if (firmware_.activation_pending()) {
    return NvmeStatus::make(CommandStatus::kFirmwareNeedsControllerReset, true);
  }
  request.fails = faults_.take(FaultKind::kSanitizeFails, true);
  self_tests_.abort(SelfTestOutcome::kAbortedBySanitize);
  directives_.close_streams();
  for (const auto& each : controllers()) each->sanitize_begins();
  return sanitize_.begin(background_, std::move(request));
}

NvmeStatus Subsystem::begin_self_test(nvme::spec::SelfTest test, std::uint16_t cntlid,
                                      NamespaceList namespaces) {
  SelfTests::Request request;
  request.test = test;
  request.cntlid = cntlid;
  request.namespaces = std::move(namespaces);
  request.least = std::chrono::milliseconds(options_.self_test_time_ms);
  request.power_on_hours = [this] { return power_on_hours(); };
  return self_tests_.begin(background_, std::move(request));
}

void Subsystem::hurry_operations() {
  sanitize_.hurry();
  self_tests_.hurry();
}

void Subsystem::announce_firmware() {
  for (const auto& controller : controllers()) {
    if (!controller->identity().discovery) controller->firmware_activated();
  }
}

std::uint64_t Subsystem::power_on_hours() const {
  const auto spent = Operation::Clock::now() - started_;
  return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::hours>(spent).count());
}

std::vector<std::shared_ptr<Controller>> Subsystem::controllers() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Controller>> all;
  for (const auto& [cntlid, controller] : controllers_) all.push_back(controller);
  return all;
}

}  // namespace nvublk::target
