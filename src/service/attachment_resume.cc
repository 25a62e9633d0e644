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
  lease_.continue_from(saved.drive_returns_to);
  resume_began_ = Clock::now();
  for (const SavedDevice& left : saved.devices) {
    Device& device = devices_.emplace_back();
    device.nsid = left.identity.nsid;
    device.name = left.name;
    device.wanted_id = left.id;
    device.identity = left.identity;
    device.block_size_bytes = left.block_size_bytes;
    device.shown_bytes = device.tried_bytes = left.size_bytes;
    device.volatile_cache = left.volatile_cache;
    device.saved = left;
    device.problem = "its daemon has ended; waiting for the controller";
  }
  resume_connect();
}

void Attachment::resume_connect() {
  resume_connected_ = false;
  resume_connecting_ = true;
  if (drive_taken_) {
    controller_->connect([this](const Status& status) { resume_connected(status); });
    return;
  }
  resume_device_runs_ = true;  // a detach waits until this is through
  lease_.take(request_.controller.transport.id,
              [this](const Status& drive) { resume_taken(drive); });
}

// A local drive of a daemon that died is with vfio-pci still; one that was pulled out and is back,
// or that a user has unbound, is taken again.
void Attachment::resume_taken(const Status& drive) {
  resume_device_runs_ = false;
  resume_connecting_ = false;
  drive_taken_ = drive.has_value();
  if (phase_ != Phase::kResuming || run_waiting_detach()) {
    return;
  }
  if (drive) {
    resume_connect();
  } else {
    resume_failed(drive.error());
  }
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
  if (!take_next()) {
    resume_later();
  }
}

void Attachment::resume_later() {
  const nvme::ControllerOptions& options = request_.controller;
  const Duration waited = Clock::now() - resume_began_;
  Duration delay = waited < options.reconnect_delay
                       ? std::min<Duration>(kFirstRetry, options.reconnect_delay)
                       : Duration(options.reconnect_delay);
  if (options.ctrl_loss_timeout >= seconds(0)) {
    delay = std::min<Duration>(delay, options.ctrl_loss_timeout - waited);
  }
  if (options.fast_io_fail_timeout > waited) {
    delay = std::min<Duration>(delay, options.fast_io_fail_timeout - waited);
  }
  environment_.shards.control->reactor().arm_after(resume_timer_,
                                                   std::max(delay, Duration::zero()));
}

// After fast_io_fail_tmo the devices are served without their controller, so that their I/O fails,
// one after the other. False if there is none to be taken.
bool Attachment::take_next() {
  const nvme::ControllerOptions& options = request_.controller;
  if (options.fast_io_fail_timeout < seconds(0) ||
      Clock::now() - resume_began_ < options.fast_io_fail_timeout) {
    return false;
  }
  const auto next = std::ranges::find_if(devices_, [](const Device& device) {
    return device.unserved() && !device.gone && !device.tried;
  });
  if (next == devices_.end()) {
    return false;
  }
  Device& device = *next;
  device.failing = std::make_unique<FailingDevice>(placement_.shards(), device.shown_bytes,
                                                   device.block_size_bytes);
  resume_device_runs_ = true;
  make_export(device);
  device.shown->start([this, &device](const Status& status) { device_taken(device, status); });
  return true;
}

void Attachment::device_taken(Device& device, const Status& status) {
  resume_device_runs_ = false;
  if (status) {
    device.taken = true;
    log_warning(kSubsystem, device.name + ": its I/O fails until its controller is back");
  } else {
    resume_refused(device, status);
    environment_.shards.control->reactor().defer(bury_);
  }
  if (phase_ != Phase::kResuming || run_waiting_detach()) {
    return;
  }
  if (std::ranges::all_of(devices_, [](const Device& each) { return each.gone; })) {
    disconnect();
  } else if (!take_next()) {
    resume_later();
  }
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
  if (device.taken) {
    resume_taken_device(device, obstacle);
    resume_next();
    return;
  }
  device.failing.reset();
  if (!obstacle.empty()) {
    device.problem = obstacle;
    device.failing = std::make_unique<FailingDevice>(placement_.shards(), device.shown_bytes,
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
  resume_refused(device, status);
  environment_.shards.control->reactor().defer(bury_);
  resume_next();
}

// What failed goes with bury_.
void Attachment::resume_refused(Device& device, const Status& status) {
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
}

// It is served already: its requests go to the namespace from now on, or fail for good. What the
// kernel was told when it was made cannot be compared any more, but the cache is remembered:
// without FLUSH from the kernel a cache would lose what it has acknowledged.
void Attachment::resume_taken_device(Device& device, const std::string& obstacle) {
  Status status = obstacle.empty() ? Status{} : fail(ErrorCode::kUnsupported, obstacle);
  if (status && device.block->geometry().volatile_write_cache && !device.saved->volatile_cache) {
    status =
        fail(ErrorCode::kUnsupported,
             "the controller has a volatile write cache now, which the kernel would not flush");
  }
  if (status) {
    status = device.failing->become(*device.block);
  }
  device.saved.reset();
  device.taken = false;
  device.failed = !status;
  if (status) {
    device.problem.clear();
    log_info(kSubsystem, device.name + " is resumed as " + device.info().device);
    return;
  }
  device.block = nullptr;
  device.problem = status.error().text;
  log_error(kSubsystem, device.name + " fails: " + device.problem + "; detach it");
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
    if (device.shown != nullptr && !device.gone && !device.unserved()) {
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
  saved.drive_returns_to = lease_.returns_to();
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
    kept.volatile_cache = device.volatile_cache;
    kept.failed = device.failed;
    kept.problem = device.problem;
    saved.devices.push_back(std::move(kept));
  }
  return saved;
}

}  // namespace nvublk::service
