// Attachment, its end and that of single devices: orderly, by force, and by force while something
// else runs.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/log.h"
#include "service/attachment.h"

namespace nvublk::service {

namespace {

constexpr char kSubsystem[] = "service";
/// How long a forced stop waits for requests that are with the controller before it fails them.
constexpr seconds kForcePatience{5};
/// How long the controller may take to be shut down in order then.
constexpr seconds kForcedShutdown{5};

}  // namespace

std::vector<Attachment::Device*> Attachment::select(const std::vector<std::uint32_t>& nsids) {
  std::vector<Device*> selected;
  for (Device& device : devices_) {
    const bool wanted =
        nsids.empty() || std::find(nsids.begin(), nsids.end(), device.nsid) != nsids.end();
    if (wanted && !device.gone) {
      selected.push_back(&device);
    }
  }
  return selected;
}

void Attachment::detach(const std::vector<std::uint32_t>& nsids, bool force, Done done) {
  if (attaching() && !detached_) {
    detached_ = std::move(done);
    cancel("it was detached before it was attached");
    if (force) {
      fail_io_that_hangs({});
    }
    return;
  }
  if (phase_ == Phase::kUpdating) {
    wait_for_update(nsids, force, std::move(done));
    return;
  }
  if (phase_ == Phase::kResuming && resume_device_runs_) {
    waiting_detaches_.push_back({nsids, force, std::move(done)});
    return;
  }
  if (phase_ != Phase::kLive && phase_ != Phase::kResuming) {
    if (force && phase_ != Phase::kLeaving) {
      overtake(nsids, std::move(done));
    } else {
      done(fail(ErrorCode::kBusy, name() + " is being detached already"));
    }
    return;
  }
  environment_.shards.control->reactor().cancel(resume_timer_);
  done_ = std::move(done);
  outcome_ = {};
  std::vector<Device*> targets = select(nsids);
  // One device looks itself who uses it, if it is served.
  if (force || (targets.size() == 1 && !targets.front()->unserved())) {
    begin_stopping(std::move(targets), force);
    return;
  }
  targets_ = std::move(targets);
  check_targets();
}

// A detach that runs may wait for a controller that does not answer; force does not.
void Attachment::overtake(const std::vector<std::uint32_t>& nsids, Done done) {
  waiting_detaches_.push_back({nsids, true, std::move(done)});
  fail_io_that_hangs(nsids);
  if (phase_ == Phase::kDisconnecting) {
    controller_->limit_disconnect(kForcedShutdown);
  }
}

// A device refuses to stop while it is in use; of several, none shall have gone by then.
void Attachment::check_targets() {
  phase_ = Phase::kChecking;
  std::vector<std::string> paths;
  for (const Device* device : targets_) {
    paths.push_back(device->info().device);
  }
  checking_.start(
      [frontends = environment_.frontends, paths = std::move(paths)] {
        for (const std::string& path : paths) {
          if (Status unused = frontends->check_unused(path); !unused) {
            return unused;
          }
        }
        return Status();
      },
      [this](Status unused) {
        if (unused) {
          begin_stopping(std::move(targets_), false);
          return;
        }
        targets_.clear();
        rest();
        finish(std::move(unused));
        go_on();
      });
}

void Attachment::begin_stopping(std::vector<Device*> targets, bool force) {
  phase_ = Phase::kStopping;
  force_ = force;
  targets_ = std::move(targets);
  if (force_) {
    for (Device* device : targets_) {
      device->forced = true;
    }
    await_controller();
  }
  stop_devices();
}

// What is just being changed on the way to these devices (all: empty list) must not hang either.
void Attachment::fail_io_that_hangs(const std::vector<std::uint32_t>& nsids) {
  for (Device* device : select(nsids)) {
    device->forced = true;
  }
  for (Device& device : devices_) {
    device.forced = device.forced || device.stopping;
  }
  await_controller();
}

void Attachment::await_controller() {
  if (controller_->state() != nvme::ControllerState::kLive) {
    stop_overdue();
  } else if (!overdue_.armed()) {
    environment_.shards.control->reactor().arm_after(overdue_, kForcePatience);
  }
}

// A forced stop waits for what the controller has; one that does not answer must not hold it up for
// ever. The devices that stay keep their I/O.
void Attachment::stop_overdue() {
  if (phase_ != Phase::kStarting && phase_ != Phase::kUpdating && phase_ != Phase::kChecking &&
      phase_ != Phase::kStopping) {
    return;
  }
  std::vector<Device*> forced;
  bool all = true;
  for (Device& device : devices_) {
    all = all && (device.forced || device.gone);
    if (device.forced && !device.gone && device.block != nullptr) {
      forced.push_back(&device);
    }
  }
  if (forced.empty()) {
    return;
  }
  log_warning(kSubsystem, name() + ": the controller does not answer; failing what it holds" +
                              (all ? "" : " of the devices that are taken away by force"));
  if (all) {
    controller_->fail_io(EIO);
    return;
  }
  for (const Device* device : forced) {
    device->block->abandon();
  }
}

void Attachment::stop_devices() {
  if (targets_.empty()) {
    stopped({});
    return;
  }
  Device& device = *targets_.front();
  targets_.erase(targets_.begin());
  device.stopping = true;
  const auto stopped = [this, &device](const Status& status) { device_stopped(device, status); };
  if (device.unserved()) {
    checking_.start([frontends = environment_.frontends,
                     id = device.saved->id] { return frontends->discard(id); },
                    stopped);
    return;
  }
  device.shown->stop(force_, stopped);
}

// What comes when nothing is done on behalf of a user.
void Attachment::rest() {
  if (waits_to_resume()) {
    resume_again();
  } else {
    phase_ = Phase::kLive;
  }
}

void Attachment::device_stopped(Device& device, const Status& status) {
  device.stopping = false;
  if (!status) {
    device.forced = false;
    // Refused: it is in use and stays, and so do those after it.
    targets_.clear();
    stopped(status);
    return;
  }
  log_info(kSubsystem, device.name + " is gone");
  device.gone = true;
  if (std::erase(blocked_, device.nsid) > 0) {
    appeared_.push_back(device.nsid);
    update_wanted_ = true;
  }
  environment_.shards.control->reactor().defer(bury_);
  stop_devices();
}

void Attachment::bury_gone_devices() {
  resume_rests_.clear();
  std::erase_if(devices_, [](const Device& device) { return device.gone; });
}

// `refusal`: why a device has stayed, if one has that should not.
void Attachment::stopped(const Status& refusal) {
  environment_.shards.control->reactor().cancel(overdue_);
  const bool any_left = std::any_of(devices_.begin(), devices_.end(),
                                    [](const Device& device) { return !device.gone; });
  if (!any_left) {
    disconnect();
    return;
  }
  rest();
  environment_.owner->attachment_changed(*this);
  Status outcome = std::exchange(outcome_, {});  // of an attach that was undone: why it was
  if (outcome) {
    outcome = refusal;
  } else if (!refusal) {
    outcome.error().text += "; it could not be undone: " + refusal.error().text;
  }
  const Done detached = std::exchange(detached_, nullptr);
  finish(std::move(outcome));
  if (detached) {
    detached(refusal);
  }
  go_on();
}

// What has waited for the end of a detach; finish() may have begun the next one.
void Attachment::go_on() {
  if (phase_ != Phase::kResuming || !run_waiting_detach()) {
    update_devices();
  }
}

void Attachment::disconnect() {
  phase_ = Phase::kDisconnecting;
  const bool forced = force_ || std::ranges::any_of(waiting_detaches_, &WaitingDetach::force);
  environment_.shards.control->reactor().cancel(resume_timer_);
  controller_->disconnect(
      [this](Status status) {
        if (!status) {
          log_warning(kSubsystem,
                      name() + ": the shutdown was not orderly: " + status.error().text);
        }
        end();
      },
      forced ? Duration(kForcedShutdown) : Duration::max());
}

}  // namespace nvublk::service
