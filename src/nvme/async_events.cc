#include "nvme/async_events.h"

#include "nvme/command.h"

namespace nvublk::nvme {

namespace {

// An event of every kind may be pending; a controller that sends more of them without reason is not
// followed.
constexpr std::size_t kMaxPendingEvents = 64;

}  // namespace

AsyncEvents::AsyncEvents(QueuePair& admin_queue, Duration command_timeout,
                         AsyncEventListener& listener)
    : admin_queue_(admin_queue), command_timeout_(command_timeout), listener_(listener) {}

void AsyncEvents::start(const Limits& limits) {
  armed_ = true;
  ana_log_bytes_ = limits.ana_log_bytes;
  read_changed_list_ = limits.read_changed_list;
  events_.clear();
  reading_log_ = false;
  reading_ = false;
  read_again_ = false;
  for (std::uint32_t i = 0; i < limits.requests; i++) {
    arm();
  }
}

void AsyncEvents::arm() {
  Request* request = admin_queue_.acquire();
  if (request == nullptr) {
    return;
  }
  request->sqe = command::async_event_request();
  request->set_no_data();
  request->context = this;
  request->done = [](void* self, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    static_cast<AsyncEvents*>(self)->on_event(status, entry);
  };
  admin_queue_.submit(*request, Duration::zero());
}

void AsyncEvents::on_event(spec::NvmeStatus status, const spec::CompletionEntry& entry) {
  // An error means that the queue goes away, or that there are more requests than AERL allows; a
  // new request would only fail again.
  if (!armed_ || !status.ok()) {
    return;
  }
  arm();
  const spec::AsyncEvent event = spec::AsyncEvent::decode(entry);
  if (event.is(spec::AsyncNotice::kNamespaceAttributeChanged)) {
    read_changed_namespaces();
    return;
  }
  if (events_.size() < kMaxPendingEvents) {
    events_.push_back(event);
    read_next_log();
  }
}

std::uint32_t AsyncEvents::log_bytes(const spec::AsyncEvent& event) const {
  switch (static_cast<spec::LogPage>(event.log_page)) {
    case spec::LogPage::kErrorInformation:
      return sizeof(spec::ErrorLogEntry);
    case spec::LogPage::kSmartHealth:
    case spec::LogPage::kFirmwareSlot:
      return 512;
    case spec::LogPage::kAna:
      return ana_log_bytes_;
    case spec::LogPage::kDiscovery:
      return sizeof(spec::DiscoveryLogHeader);
    default:
      return 512;
  }
}

// One log page at a time.
void AsyncEvents::read_next_log() {
  while (!reading_log_ && !events_.empty()) {
    const spec::AsyncEvent event = events_.front();
    const std::uint32_t length = event.log_page == 0 ? 0 : log_bytes(event);
    Request* request = length == 0 ? nullptr : admin_queue_.acquire();
    if (request == nullptr) {
      events_.pop_front();
      listener_.event_received(event, {});
      continue;
    }
    reading_log_ = true;
    log_.assign(length, std::byte{0});
    request->sqe = command::get_log_page(
        {.page = static_cast<spec::LogPage>(event.log_page), .length_bytes = length});
    request->set_data(log_.data(), length);
    request->context = this;
    request->done = [](void* self, spec::NvmeStatus status, const spec::CompletionEntry&) {
      static_cast<AsyncEvents*>(self)->on_log(status);
    };
    admin_queue_.submit(*request, command_timeout_);
  }
}

void AsyncEvents::on_log(spec::NvmeStatus status) {
  reading_log_ = false;
  if (!armed_ || events_.empty()) {
    return;
  }
  const spec::AsyncEvent event = events_.front();
  events_.pop_front();
  listener_.event_received(
      event, status.ok() ? std::span<const std::byte>(log_) : std::span<const std::byte>());
  read_next_log();
}

// Reading the page also clears the event, so that the next change is reported again.
// [Base 2.1 §5.1.12.1.5]
void AsyncEvents::read_changed_namespaces() {
  if (reading_) {
    read_again_ = true;
    return;
  }
  Request* request = read_changed_list_ ? admin_queue_.acquire() : nullptr;
  if (request == nullptr) {
    listener_.namespaces_changed({});
    return;
  }
  reading_ = true;
  changed_ = {};
  request->sqe = command::get_log_page(
      {.page = spec::LogPage::kChangedNamespaceList, .length_bytes = sizeof(changed_)});
  request->set_data(&changed_, sizeof(changed_));
  request->context = this;
  request->done = [](void* self, spec::NvmeStatus status, const spec::CompletionEntry&) {
    static_cast<AsyncEvents*>(self)->on_changed_namespaces(status);
  };
  admin_queue_.submit(*request, command_timeout_);
}

void AsyncEvents::on_changed_namespaces(spec::NvmeStatus status) {
  reading_ = false;
  if (!armed_) {
    return;
  }
  // Without a list, or with FFFFFFFFh for more than 1024, any may have changed.
  // [Base 2.1 §5.1.12.1.5]
  std::vector<std::uint32_t> nsids;
  if (status.ok() && !changed_.overflowed()) {
    for (const Le32& entry : changed_.nsid) {
      if (entry.get() == 0) {
        break;
      }
      nsids.push_back(entry.get());
    }
  }
  listener_.namespaces_changed(nsids);
  if (read_again_) {
    read_again_ = false;
    read_changed_namespaces();
  }
}

}  // namespace nvublk::nvme
