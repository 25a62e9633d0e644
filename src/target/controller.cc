#include "target/controller.h"

#include <algorithm>

#include "nvme/spec/async_event.h"
#include "nvme/spec/features.h"
#include "nvme/spec/log_pages.h"
#include "nvme/spec/properties.h"

namespace nvublk::target {

using namespace nvme::spec;

namespace {

/// The log page of changed namespaces holds that many, and then only says "many".
constexpr std::size_t kMostChanged = 1024;

/// What an event is, and by which bit a host asks for it; 0: it gets it anyway.
struct EventKind {
  AsyncEvent event;
  std::uint32_t wanted = 0;
};

constexpr EventKind notice(AsyncNotice which, LogPage page, std::uint32_t wanted) {
  return {
      {AsyncEventType::kNotice, static_cast<std::uint8_t>(which), static_cast<std::uint8_t>(page)},
      wanted};
}

/// In the order of Controller::Event. [Base 2.1 §5.1.2.1]
constexpr EventKind kEvents[] = {
    notice(AsyncNotice::kNamespaceAttributeChanged, LogPage::kChangedNamespaceList,
           kAsyncNamespaceAttribute),
    notice(AsyncNotice::kDiscoveryLogChanged, LogPage::kDiscovery, kAsyncDiscoveryLog),
    notice(AsyncNotice::kFirmwareActivationStarting, LogPage::kFirmwareSlot,
           kAsyncFirmwareActivation),
    {{AsyncEventType::kCommandSet, static_cast<std::uint8_t>(AsyncCommandSet::kSanitizeCompleted),
      static_cast<std::uint8_t>(LogPage::kSanitizeStatus)},
     0},
};

}  // namespace

Controller::Controller(Identity identity, const Options& options, std::uint32_t kato_ms,
                       std::weak_ptr<QueueOwner> admin)
    : identity_(std::move(identity)),
      options_(options),
      kato_ms_(0),
      keep_alive_seen_(Clock::now().time_since_epoch().count()),
      io_queues_(options.io_queues) {
  set_kato_ms(kato_ms);
  queues_.emplace(std::uint16_t{0}, std::move(admin));
}

std::uint64_t Controller::capabilities() const {
  const std::uint64_t timeout = (options_.enable_timeout_ms + 499u) / 500u;
  std::uint64_t cap = options_.queue_entries - 1;
  cap |= 1ull << 16;  // CQR
  cap |= std::min<std::uint64_t>(timeout, 255) << 24;
  cap |= 1ull << 37;                            // CSS: NVM command set
  if (!identity_.discovery) cap |= 1ull << 43;  // CSS: I/O command sets
  cap |= 1ull << 59;                            // CRMS: ready with media
  return cap;
}

std::optional<std::uint64_t> Controller::read_property(std::uint32_t offset,
                                                       bool eight_bytes) const {
  const auto property = static_cast<Property>(offset);
  if (property == Property::kCap) {
    return eight_bytes ? std::optional(capabilities()) : std::nullopt;
  }
  if (eight_bytes) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (property == Property::kVs) return Vs::make(2, 1).raw;
  if (property == Property::kCc) return cc_;
  if (property == Property::kCsts) return csts_;
  if (property == Property::kCrto) return (options_.enable_timeout_ms + 499u) / 500u;
  return std::nullopt;
}

bool Controller::write_property(std::uint32_t offset, bool eight_bytes, std::uint64_t value) {
  if (static_cast<Property>(offset) != Property::kCc || eight_bytes) return false;
  const bool was_ready = ready();
  write_cc(static_cast<std::uint32_t>(value));
  if (was_ready && !ready()) close_queues(false);
  return true;
}

void Controller::write_cc(std::uint32_t value) {
  const std::lock_guard lock(mutex_);
  const Cc old{cc_};
  const Cc next{value};
  cc_ = value;
  if (!old.enabled() && next.enabled()) {
    const bool good =
        (identity_.discovery || (next.io_sqe_bytes() == 64 && next.io_cqe_bytes() == 16)) &&
        next.page_bytes() == 4096 && next.ams() == Arbitration::kRoundRobin &&
        (next.css() == CommandSetSelection::kNvm ||
         next.css() == CommandSetSelection::kAllSupported);
    csts_ = good ? Csts::kReady : Csts::kFatal;
    ready_.store(good, std::memory_order_release);
  } else if (old.enabled() && !next.enabled()) {
    // A controller reset: what was held or configured is gone. [Base 2.1 §3.7.2]
    csts_ = 0;
    ready_.store(false, std::memory_order_release);
    event_requests_.clear();
    stuck_.clear();
    retry_delays_.store(false, std::memory_order_relaxed);
    event_config_ = 0;
    changed_.clear();
    changed_overflow_ = false;
    events_ = {};
  }
  csts_ &= ~(Csts::kShutdownOccurring | Csts::kShutdownComplete);
  if (next.shn() != ShutdownNotification::kNone) csts_ |= Csts::kShutdownComplete;
}

bool Controller::attach_queue(std::uint16_t qid, std::weak_ptr<QueueOwner> owner) {
  const std::lock_guard lock(mutex_);
  if (qid == 0 || qid > io_queues_) return false;
  return queues_.emplace(qid, std::move(owner)).second;
}

void Controller::detach_queue(std::uint16_t qid) {
  const std::lock_guard lock(mutex_);
  queues_.erase(qid);
  std::erase_if(stuck_, [qid](const auto& each) { return each.first == qid; });
}

void Controller::hold_stuck(std::uint16_t qid, std::uint16_t cid) {
  const std::lock_guard lock(mutex_);
  stuck_.emplace(qid, cid);
}

bool Controller::abort(std::uint16_t qid, std::uint16_t cid) {
  const std::lock_guard lock(mutex_);
  const auto queue = queues_.find(qid);
  const auto owner = queue == queues_.end() ? nullptr : queue->second.lock();
  if (owner == nullptr) return false;
  const bool held =
      stuck_.erase({qid, cid}) > 0 || (qid == 0 && std::erase(event_requests_, cid) > 0);
  if (held) owner->complete_held(cid, 0, NvmeStatus::make(GenericStatus::kAbortRequested));
  return held;
}

void Controller::close_queues(bool admin_too) {
  std::vector<std::shared_ptr<QueueOwner>> owners;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [qid, owner] : queues_) {
      if (qid == 0 && !admin_too) continue;
      if (auto alive = owner.lock()) owners.push_back(std::move(alive));
    }
  }
  for (const auto& owner : owners) owner->close_later();
}

void Controller::set_kato_ms(std::uint32_t kato_ms) {
  const std::uint64_t rounded =
      (std::uint64_t{kato_ms} + kKeepAliveUnitMs - 1) / kKeepAliveUnitMs * kKeepAliveUnitMs;
  kato_ms_.store(static_cast<std::uint32_t>(std::min<std::uint64_t>(rounded, 0xffffffff)),
                 std::memory_order_relaxed);
  note_keep_alive();
}

std::uint16_t Controller::grant_io_queues(std::uint32_t wanted) {
  const std::lock_guard lock(mutex_);
  const std::uint32_t granted = std::min<std::uint32_t>(wanted, options_.io_queues);
  io_queues_ = static_cast<std::uint16_t>(granted);
  return io_queues_;
}

std::uint16_t Controller::granted_io_queues() const {
  const std::lock_guard lock(mutex_);
  return io_queues_;
}

std::uint32_t Controller::event_config() const {
  const std::lock_guard lock(mutex_);
  return event_config_;
}

void Controller::set_event_config(std::uint32_t config) {
  const std::lock_guard lock(mutex_);
  event_config_ = config;
  report_events();
}

void Controller::note_keep_alive() {
  keep_alive_seen_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
}

std::optional<Controller::Clock::time_point> Controller::keep_alive_deadline() const {
  const std::uint32_t kato = kato_ms();
  if (kato == 0) return std::nullopt;
  const Clock::time_point seen{Clock::duration{keep_alive_seen_.load(std::memory_order_relaxed)}};
  return seen + std::chrono::milliseconds(kato);
}

bool Controller::hold_event_request(std::uint16_t cid) {
  const std::lock_guard lock(mutex_);
  if (event_requests_.size() == kEventRequests) return false;
  event_requests_.push_back(cid);
  report_events();
  return true;
}

void Controller::namespace_changed(std::uint32_t nsid) {
  const std::lock_guard lock(mutex_);
  if (changed_.size() == kMostChanged && !changed_.contains(nsid)) {
    changed_overflow_ = true;
  } else {
    changed_.insert(nsid);
  }
  raise(kNamespaces);
}

void Controller::discovery_log_changed() {
  const std::lock_guard lock(mutex_);
  raise(kDiscoveryLog);
}

void Controller::firmware_activated() {
  const std::lock_guard lock(mutex_);
  raise(kFirmware);
}

void Controller::sanitize_completed() {
  const std::lock_guard lock(mutex_);
  raise(kSanitized);
}

void Controller::sanitize_begins() {
  const std::lock_guard lock(mutex_);
  events_[kSanitized] = {};
}

void Controller::log_read(LogPage page) {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < events_.size(); i++) {
    if (kEvents[i].event.log_page == static_cast<std::uint8_t>(page)) events_[i] = {};
  }
}

std::vector<std::uint32_t> Controller::changed_namespaces(bool retain) {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint32_t> list(changed_.begin(), changed_.end());
  if (changed_overflow_) list = {0xffffffff};
  if (!retain) {
    changed_.clear();
    changed_overflow_ = false;
  }
  return list;
}

void Controller::raise(Event event) {
  events_[event].pending = true;
  report_events();
}

void Controller::report_events() {
  const auto owner = queues_[0].lock();
  if (owner == nullptr) return;
  for (std::size_t i = 0; i < events_.size() && !event_requests_.empty(); i++) {
    const EventKind& kind = kEvents[i];
    const bool wanted = kind.wanted == 0 || (event_config_ & kind.wanted) != 0;
    if (!events_[i].pending || events_[i].masked || !wanted) continue;
    owner->complete_held(event_requests_.front(), kind.event.encode(), NvmeStatus::success());
    event_requests_.pop_front();
    events_[i] = {.pending = false, .masked = true};
  }
}

void Controller::record_error(ErrorRecord record) {
  const std::lock_guard lock(mutex_);
  record.number = ++error_count_;
  errors_.push_front(record);
  if (errors_.size() > kErrorRecords) errors_.pop_back();
}

std::vector<ErrorRecord> Controller::errors() const {
  const std::lock_guard lock(mutex_);
  return {errors_.begin(), errors_.end()};
}

std::uint64_t Controller::error_count() const {
  const std::lock_guard lock(mutex_);
  return error_count_;
}

}  // namespace nvublk::target
