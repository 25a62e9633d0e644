// Attachment, its devices that follow their namespaces. One change at a time: an attach or a detach
// that runs comes first, and a detach that comes meanwhile waits for the one device that is being
// changed.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/async_event_text.h"
#include "service/attachment.h"

namespace nvublk::service {

namespace {

constexpr char kSubsystem[] = "service";

}  // namespace

void Attachment::namespaces_changed(const std::vector<std::uint32_t>& nsids) {
  std::string text;
  for (const std::uint32_t nsid : nsids) {
    text += (text.empty() ? "" : ", ") + std::to_string(nsid);
  }
  log_info(kSubsystem, name() + ": namespaces changed on the target: " +
                           (text.empty() ? "any of them" : text) + "; looking at them");
}

void Attachment::event_received(const nvme::spec::AsyncEvent& event,
                                std::span<const std::byte> log) {
  const std::string text = name() + ": " + nvme::async_event_text(event, log);
  if (event.type == nvme::spec::AsyncEventType::kNotice) {
    log_info(kSubsystem, text);
  } else {
    log_warning(kSubsystem, text);
  }
}

bool Attachment::wants(std::uint32_t nsid) const {
  return request_.nsids.empty() || std::ranges::find(request_.nsids, nsid) != request_.nsids.end();
}

void Attachment::namespaces_updated(const nvme::NamespaceChanges& changes) {
  if (phase_ == Phase::kNew || phase_ == Phase::kChoosing || phase_ == Phase::kConnecting ||
      phase_ == Phase::kResuming) {
    return;  // the devices are made of what there is then
  }
  for (const std::uint32_t nsid : changes.removed) {
    namespace_problems_.erase(nsid);
    std::erase(appeared_, nsid);
    std::erase(blocked_, nsid);
  }
  for (const std::uint32_t nsid : changes.added) {
    if (wants(nsid)) {
      appeared_.push_back(nsid);
    }
  }
  update_wanted_ = true;
  update_devices();
}

void Attachment::update_devices() {
  if (phase_ == Phase::kLive && (update_wanted_ || !waiting_detaches_.empty())) {
    phase_ = Phase::kUpdating;
    next_update();
  }
}

void Attachment::next_update() {
  if (run_waiting_detach()) {
    return;
  }
  for (Device& device : devices_) {
    if (!device.gone && update_device(device)) {
      return;
    }
  }
  while (!appeared_.empty()) {
    const std::uint32_t nsid = appeared_.front();
    appeared_.erase(appeared_.begin());
    if (add_device(nsid)) {
      return;
    }
  }
  update_wanted_ = false;
  phase_ = Phase::kLive;
}

// Begins whatever has to be done with a device; false if there is nothing that takes time.
bool Attachment::update_device(Device& device) {
  if (device.block == nullptr) {
    return false;  // it fails, and goes on to
  }
  const std::uint64_t size_bytes = device.block->geometry().size_bytes();
  if (device.block->active()) {
    if (size_bytes == device.tried_bytes) {
      return false;
    }
    log_info(kSubsystem, device.name + ": its namespace had " + std::to_string(device.shown_bytes) +
                             " bytes and has " + std::to_string(size_bytes));
    device.tried_bytes = size_bytes;
    update_calls_ = 1;
    device.shown->resize([this, &device](Status status) { device_resized(device, status); });
    return true;
  }
  if (!device.failed) {
    device.problem = device.block->inactive_reason();
  }
  const bool nothing_there = controller_->find_namespace(device.nsid) == nullptr;
  if (!nothing_there || device.stopping) {
    if (!device.failed) {
      log_error(kSubsystem, device.name + " fails: " + device.problem + "; detach it");
    }
    device.failed = true;
    return false;
  }
  log_warning(kSubsystem, device.name + " is taken away: its namespace is gone");
  device.failed = true;
  device.stopping = true;
  update_calls_ = 1;
  device.shown->stop(true, [this, &device](Status status) { device_removed(device, status); });
  return true;
}

void Attachment::device_removed(Device& device, const Status& status) {
  if (status) {
    device.stopping = false;
    device.gone = true;
    log_info(kSubsystem, device.name + " is gone");
    environment_.shards.control->reactor().defer(bury_);
  } else {
    device.problem += "; it cannot be taken away: " + status.error().text;
    log_error(kSubsystem, device.name + ": " + device.problem);
  }
  update_step_ended();
}

void Attachment::device_resized(Device& device, const Status& status) {
  if (status) {
    device.shown_bytes = device.tried_bytes;
    device.problem.clear();
    log_info(kSubsystem, device.name + " has " + std::to_string(device.shown_bytes) + " bytes now");
  } else {
    device.problem = status.error().text;
    log_warning(kSubsystem, device.name + ": " + device.problem);
  }
  update_step_ended();
}

bool Attachment::add_device(std::uint32_t nsid) {
  nvme::Namespace* block = controller_->find_namespace(nsid);
  const auto same = std::ranges::find_if(
      devices_, [nsid](const Device& device) { return device.nsid == nsid && !device.gone; });
  if (block == nullptr || (same != devices_.end() && same->block == block)) {
    return false;
  }
  std::string& problem = namespace_problems_[nsid];
  if (const std::string obstacle = why_not_shown(*block); !obstacle.empty()) {
    problem = "it cannot be shown as a block device: " + obstacle;
  } else if (same != devices_.end()) {
    problem = "it waits until " + same->name + ", which was another namespace, is detached";
    blocked_.push_back(nsid);
  } else {
    namespace_problems_.erase(nsid);
    Device& device = devices_.emplace_back();
    device.nsid = nsid;
    device.name = name() + "n" + std::to_string(nsid);
    device.block = block;
    make_export(device);
    adding_ = &device;
    update_calls_ = 1;
    device.shown->start([this, &device](Status status) { device_added(device, status); });
    return true;
  }
  log_warning(kSubsystem,
              name() + ": namespace " + std::to_string(nsid) + " is left out: " + problem);
  return false;
}

void Attachment::device_added(Device& device, const Status& status) {
  if (!status) {
    device.gone = true;
    namespace_problems_[device.nsid] = "its device did not start: " + status.error().text;
    log_error(kSubsystem, device.name + ": " + namespace_problems_[device.nsid]);
  }
  update_step_ended();
}

// The last answer of the front-end ends the step.
void Attachment::update_step_ended() {
  if (--update_calls_ > 0) {
    return;
  }
  environment_.owner->attachment_changed(*this);
  if (adding_ != nullptr && std::exchange(adding_, nullptr)->gone) {
    environment_.shards.control->reactor().defer(bury_);
  }
  next_update();
}

// A device that is being made is given up, as what its maker waits for may never come.
void Attachment::wait_for_update(const std::vector<std::uint32_t>& nsids, bool force, Done done) {
  waiting_detaches_.push_back({nsids, force, std::move(done)});
  const bool gives_up = adding_ != nullptr && !adding_->stopping;
  if (gives_up) {
    adding_->stopping = true;
  }
  if (force) {
    fail_io_that_hangs(nsids);
  }
  if (gives_up) {
    update_calls_++;
    Device& device = *adding_;
    device.shown->stop(true, [this, &device](const Status& status) {
      device.gone = device.gone || status.has_value();
      update_step_ended();
    });
  }
}

bool Attachment::run_waiting_detach() {
  if (waiting_detaches_.empty()) {
    return false;
  }
  WaitingDetach next = std::move(waiting_detaches_.front());
  waiting_detaches_.pop_front();
  // The others wait for the next update, or for the end.
  phase_ = phase_ == Phase::kResuming ? Phase::kResuming : Phase::kLive;
  detach(next.nsids, next.force, std::move(next.done));
  return true;
}

std::string Attachment::namespace_problem(std::uint32_t nsid) const {
  const auto found = namespace_problems_.find(nsid);
  return found == namespace_problems_.end() ? "" : found->second;
}

}  // namespace nvublk::service
