// Attachment, the devices that a daemon before this one has left, and leaving them to the next.
//
// A device that waits for its server has requests under way that will come again: with the daemon
// that died, or with the connections that died with it. Before any comes again, whatever of the old
// ones is still with the controller must have ended, or a late one could undo what a newer one has
// written meanwhile. So nothing is resumed before the connections have been dead for the
// controller's Command Quiesce Time, or kSettle where it reports none. [Base 2.1 §9.6.2]

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "service/attachment.h"

namespace nvublk::service {

namespace {

constexpr char kSubsystem[] = "service";
constexpr milliseconds kSettle{1000};
/// The first attempts come quickly: a target may just be starting, as we are.
constexpr milliseconds kFirstRetry{500};
/// How long leave() waits for requests that are with the controller.
constexpr seconds kLeaveLimit{10};

bool same_where_known(const std::string& then, const std::string& now) {
  return then.empty() || then == now;
}

}  // namespace

void Attachment::resume(const SavedAttachment& saved, bool quiet) {
  CHECK(phase_ == Phase::kNew);
  phase_ = Phase::kResuming;
  frontend_ = saved.frontend;
  quiet_ = quiet;
  resume_began_ = Clock::now();
  for (const SavedDevice& left : saved.devices) {
    Device& device = devices_.emplace_back();
    device.nsid = left.identity.nsid;
    device.name = left.name;
    device.wanted_id = left.id;
    device.identity = left.identity;
    device.block_size_bytes = left.block_size_bytes;
    device.shown_bytes = device.tried_bytes = left.size_bytes;
    device.saved = left;
    device.problem = "its daemon has ended; waiting for the controller";
  }
  resume_connect();
}

void Attachment::resume_connect() {
  resume_connected_ = false;
  resume_connecting_ = true;
  controller_->connect([this](const Status& status) { resume_connected(status); });
}

void Attachment::resume_connected(const Status& status) {
  resume_connecting_ = false;
  resume_connected_ = status.has_value();
  if (phase_ != Phase::kResuming) {
    return;  // devices are just being detached, see resume_again()
  }
  if (!status) {
    resume_failed(status.error());
    return;
  }
  const Duration quiesce = milliseconds(controller_->profile().identify.cqt.get());
  const Instant quiet_at =
      quiet_ ? resume_began_ : resume_began_ + std::max<Duration>(kSettle, quiesce);
  environment_.shards.control->reactor().arm(resume_timer_, quiet_at);
}

// Some devices were detached meanwhile, others still wait.
void Attachment::resume_again() {
  phase_ = Phase::kResuming;
  if (resume_connected_) {
    resume_connected({});
  } else if (!resume_connecting_) {
    environment_.shards.control->reactor().arm_after(resume_timer_, kFirstRetry);
  }
}

void Attachment::resume_failed(const Error& error) {
  const nvme::ControllerOptions& options = request_.controller;
  const std::string text = "its controller cannot be reached: " + error.text +
                           (error.step.empty() ? "" : " (" + error.step + ")");
  for (Device& device : devices_) {
    if (device.saved && device.problem != text) {
      log_warning(kSubsystem, device.name + ": " + text);
      device.problem = text;
    }
  }
  const Duration waited = Clock::now() - resume_began_;
  if (options.ctrl_loss_timeout >= seconds(0) && waited >= options.ctrl_loss_timeout) {
    give_up_resuming(text + "; given up after ctrl-loss-tmo");
    return;
  }
  Duration delay = waited < options.reconnect_delay
                       ? std::min<Duration>(kFirstRetry, options.reconnect_delay)
                       : Duration(options.reconnect_delay);
  if (options.ctrl_loss_timeout >= seconds(0)) {
    delay = std::min<Duration>(delay, options.ctrl_loss_timeout - waited);
  }
  environment_.shards.control->reactor().arm_after(resume_timer_, delay);
}

void Attachment::resume_now() {
  if (resume_timer_.armed() && !resume_connected_) {
    environment_.shards.control->reactor().arm_after(resume_timer_, milliseconds(0));
  }
}

void Attachment::resume_timer_fired() {
  if (phase_ == Phase::kLeaving) {
    leave_controller();
    return;
  }
  if (phase_ != Phase::kResuming) {
    return;
  }
  if (resume_connected_) {
    for (Device& device : devices_) {
      device.tried = false;
    }
    resume_next();
    return;
  }
  // A controller connects for the first time only once.
  if (Status made = make_controller(); !made) {
    resume_failed(made.error());
    return;
  }
  resume_connect();
}

// One device after the other, then whatever has been waiting for that.
void Attachment::resume_next() {
  if (run_waiting_detach()) {
    return;
  }
  for (Device& device : devices_) {
    if (device.saved && !device.gone && !device.tried) {
      resume_device(device);
      return;
    }
  }
  resumed();
}

/// Why the device cannot go on with the namespace `block`, which is null if there is none; empty if
/// it can.
std::string Attachment::resume_obstacle(const SavedDevice& saved, nvme::Namespace*& block) const {
  block = nullptr;
  if (!resume_given_up_.empty()) {
    return resume_given_up_;
  }
  if (saved.failed) {
    return saved.problem;
  }
  nvme::Namespace* found = controller_->find_namespace(saved.identity.nsid);
  if (found == nullptr) {
    return "its namespace is gone";
  }
  const nvme::NamespaceIdentity& now = found->identity();
  const bool named = !saved.identity.uuid.empty() || !saved.identity.nguid.empty() ||
                     !saved.identity.eui64.empty();
  const bool same = named ? same_where_known(saved.identity.uuid, now.uuid) &&
                                same_where_known(saved.identity.nguid, now.nguid) &&
                                same_where_known(saved.identity.eui64, now.eui64)
                          : same_where_known(saved.serial, controller_->status().serial);
  if (!same) {
    return "its namespace has another identity now: it is another disk";
  }
  if (!found->unusable().empty()) {
    return "its namespace cannot be shown any more: " + found->unusable();
  }
  if (found->geometry().block_size_bytes != saved.block_size_bytes) {
    return "its namespace has another format now: blocks of " +
           std::to_string(found->geometry().block_size_bytes) + " bytes, not " +
           std::to_string(saved.block_size_bytes);
  }
  block = found;
  return {};
}

void Attachment::resume_device(Device& device) {
  const std::string obstacle = resume_obstacle(*device.saved, device.block);
  if (!obstacle.empty()) {
    device.problem = obstacle;
    device.failing = std::make_unique<FailingDevice>(environment_.shards, device.shown_bytes,
                                                     device.block_size_bytes);
  }
  resume_device_runs_ = true;
  make_export(device);
  device.shown->start([this, &device](const Status& status) { device_resumed(device, status); });
}

void Attachment::device_resumed(Device& device, const Status& status) {
  resume_device_runs_ = false;
  if (status) {
    device.saved.reset();
    device.failed = device.failing != nullptr;
    if (device.failed) {
      log_error(kSubsystem, device.name + " fails: " + device.problem + "; detach it");
    } else {
      device.problem.clear();
      log_info(kSubsystem, device.name + " is resumed as " + device.info().device);
    }
    resume_next();
    return;
  }
  resume_rests_.push_back(std::move(device.shown));
  if (status.error().code == ErrorCode::kNotFound) {
    log_error(kSubsystem, device.name + " is lost: " + status.error().text);
    device.gone = true;
  } else if (device.failing == nullptr && status.error().code == ErrorCode::kUnsupported) {
    // Not with this controller as it is: as if the namespace were another one.
    device.saved->failed = true;
    device.saved->problem = "it cannot go on: " + status.error().text;
  } else {
    device.tried = true;
    device.problem = "it cannot be resumed: " + status.error().text +
                     (status.error().step.empty() ? "" : " (" + status.error().step + ")");
    log_warning(kSubsystem, device.name + ": " + device.problem);
  }
  environment_.shards.control->reactor().defer(bury_);
  resume_next();
}

void Attachment::resumed() {
  if (std::ranges::all_of(devices_, [](const Device& device) { return device.gone; })) {
    disconnect();
    return;
  }
  environment_.owner->attachment_changed(*this);
  if (waits_to_resume()) {
    environment_.shards.control->reactor().arm_after(resume_timer_,
                                                     request_.controller.reconnect_delay);
    return;
  }
  quiet_ = true;
  phase_ = Phase::kLive;
  update_wanted_ = true;
  update_devices();
}

bool Attachment::waits_to_resume() const {
  return std::ranges::any_of(devices_,
                             [](const Device& device) { return device.saved && !device.gone; });
}

// The devices lose their namespaces for good; those who wait for their I/O get errors.
void Attachment::give_up_resuming(std::string reason) {
  log_error(kSubsystem, name() + ": " + reason);
  resume_given_up_ = std::move(reason);
  resume_next();
}

void Attachment::leave(std::function<void(bool quiet)> done) {
  CHECK(can_leave());
  environment_.shards.control->reactor().cancel(resume_timer_);
  phase_ = Phase::kLeaving;
  left_ = std::move(done);
  leaving_ = 1;
  for (Device& device : devices_) {
    if (device.shown != nullptr && !device.gone && !device.saved) {
      leaving_++;
      device.shown->leave([this](const Status& status) { device_left(status); });
    }
  }
  environment_.shards.control->reactor().arm_after(resume_timer_, kLeaveLimit);
  environment_.shards.control->post([this] { device_left({}); });
}

void Attachment::device_left(const Status& status) {
  if (!status) {
    log_warning(kSubsystem, name() + ": " + status.error().text);
    quiet_ = false;
  }
  if (--leaving_ == 0) {
    leave_controller();
  }
}

// What the controller still has is not waited for: the connection ends with the process.
void Attachment::leave_controller() {
  if (left_ == nullptr) {
    return;
  }
  if (controller_->state() != nvme::ControllerState::kLive || leaving_ > 0) {
    quiet_ = quiet_ && leaving_ == 0;
    std::exchange(left_, nullptr)(quiet_);
    return;
  }
  controller_->disconnect([this](const Status&) {
    if (left_ != nullptr) {
      std::exchange(left_, nullptr)(quiet_);
    }
  });
}

SavedAttachment Attachment::saved() const {
  SavedAttachment saved;
  saved.request = request_;
  saved.request.hostnqn = request_.controller.host.nqn;
  saved.request.hostid = request_.controller.host.id.to_string();
  saved.frontend = frontend_;
  for (const Device& device : devices_) {
    if (device.gone) {
      continue;
    }
    if (device.saved) {
      saved.devices.push_back(*device.saved);
      continue;
    }
    const BlockExportInfo info = device.info();
    if (info.key == 0) {
      continue;
    }
    SavedDevice kept;
    kept.name = device.name;
    kept.id = info.id;
    kept.key = info.key;
    kept.identity = device.identity;
    kept.serial = controller_->status().serial;
    kept.size_bytes = device.shown_bytes;
    kept.block_size_bytes = device.block_size_bytes;
    kept.queues = info.queues;
    kept.depth = info.depth;
    kept.features = info.features;
    kept.failed = device.failed;
    kept.problem = device.problem;
    saved.devices.push_back(std::move(kept));
  }
  return saved;
}

}  // namespace nvublk::service
