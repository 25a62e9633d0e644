// Controller::Impl, its namespaces: made, found again, changed.

#include <algorithm>
#include <utility>

#include "engine/check.h"
#include "engine/log.h"
#include "nvme/ana_log.h"
#include "nvme/controller_impl.h"
#include "nvme/namespace_geometry.h"

namespace nvublk::nvme {

std::vector<Namespace*> Controller::Impl::namespaces() const {
  std::vector<Namespace*> result;
  for (const std::unique_ptr<Namespace>& each : namespaces_) {
    result.push_back(each.get());
  }
  return result;
}

void Controller::Impl::rescan(Done done) {
  CHECK_ON(*shards_.control);
  if (state_ != ControllerState::kLive || profile_.discovery) {
    finish(done,
           nvublk::fail(ErrorCode::kBusy, "only a live controller's namespaces can be looked at"));
    return;
  }
  rescan_waiting_.push_back(std::move(done));
  want_rescan({});
}

// All namespaces are looked at when `nsids` is empty. What comes while one runs is for the next.
void Controller::Impl::want_rescan(std::span<const std::uint32_t> nsids) {
  rescan_wanted_ = true;
  rescan_all_ = rescan_all_ || nsids.empty();
  rescan_nsids_.insert(rescan_nsids_.end(), nsids.begin(), nsids.end());
  reactor_.defer(rescan_);
}

void Controller::Impl::begin_rescan() {
  const bool busy = (init_runner_ && init_runner_->running()) || command_outstanding_;
  if (!rescan_wanted_ || state_ != ControllerState::kLive || busy || profile_.discovery) {
    return;  // asked again once that has changed
  }
  rescan_wanted_ = false;
  reactor_.cancel(look_again_timer_);
  announced_.look_begins();
  rescan_running_ = std::exchange(rescan_waiting_, {});
  std::vector<std::uint32_t> only = std::exchange(rescan_nsids_, {});
  if (std::exchange(rescan_all_, false)) {
    only.clear();
  }
  init_ = std::make_unique<ControllerInit>(options_, profile_, std::move(only));
  init_runner_ = std::make_unique<InitRunner>(reactor_, *init_, *this);
  init_runner_->start(ControllerInit::kFirstNamespaceStep);
}

void Controller::Impl::rescan_ended(const ControllerInit& machine) {
  Status status;
  if (machine.done()) {
    look_again_if_missing(update_namespaces(machine.profile()));
  } else {
    log_warning("nvme", options_.name + ": looking at the namespaces failed: " +
                            machine.error().text + " (" + machine.error().step + ")");
    status = std::unexpected(machine.error());
  }
  for (Done& done : std::exchange(rescan_running_, {})) {
    finish(done, status);
  }
  if (state_ != ControllerState::kLive) {
    close_all(machine.failed() ? machine.error()
                               : Error::make(ErrorCode::kDisconnected, "the connection was lost"));
  }
  reactor_.defer(rescan_);
}

void Controller::Impl::look_again_if_missing(const NamespaceChanges& changes) {
  std::vector<std::uint32_t> accounted = changes.removed;
  for (const std::unique_ptr<Namespace>& each : namespaces_) {
    accounted.push_back(each->nsid());
  }
  const std::optional<Duration> pause = announced_.look_ended(accounted);
  if (pause && state_ == ControllerState::kLive) {
    reactor_.arm_after(look_again_timer_, *pause);
  }
}

void Controller::Impl::end_rescans(const Status& status) {
  rescan_wanted_ = false;
  rescan_all_ = false;
  rescan_nsids_.clear();
  reactor_.cancel(look_again_timer_);
  announced_.clear();
  for (std::vector<Done>* each : {&rescan_running_, &rescan_waiting_}) {
    for (Done& done : std::exchange(*each, {})) {
      finish(done, status);
    }
  }
}

// The object stays until the controller ends: front-ends and applications may hold it.
void Controller::Impl::retire_namespace(std::uint32_t nsid, NamespaceFate fate, std::string reason,
                                        NamespaceChanges& changes) {
  const auto known = std::ranges::find_if(
      namespaces_, [nsid](const auto& candidate) { return candidate->nsid() == nsid; });
  log_warning("nvme", options_.name + ": namespace " + std::to_string(nsid) + ": " + reason);
  changes.removed.push_back(nsid);
  (*known)->deactivate(fate, std::move(reason));
  removed_namespaces_.push_back(std::move(*known));
  namespaces_.erase(known);
}

void Controller::Impl::update_namespace(const NamespaceProfile& each,
                                        const ControllerProfile& profile,
                                        NamespaceChanges& changes) {
  const BlockGeometry geometry = namespace_geometry(each, profile, transport_->limits());
  const auto known = std::ranges::find_if(
      namespaces_, [&each](const auto& candidate) { return candidate->nsid() == each.nsid; });
  if (known != namespaces_.end()) {
    const std::uint64_t before = (*known)->geometry().size_blocks;
    std::string changed = (*known)->update(each, geometry);
    if (changed.empty()) {
      if (before != geometry.size_blocks) {
        changes.resized.push_back(each.nsid);
      }
      return;
    }
    retire_namespace(each.nsid, NamespaceFate::kReplaced, std::move(changed), changes);
  }
  changes.added.push_back(each.nsid);
  auto made =
      std::make_unique<Namespace>(namespace_identity(each), geometry, namespace_unusable(each));
  made->set_profile(each);
  for (IoSlot& slot : io_) {
    made->add_queue(slot.queue->queue_pair());
  }
  const auto after = std::ranges::find_if(
      namespaces_, [&each](const auto& candidate) { return candidate->nsid() > each.nsid; });
  namespaces_.insert(after, std::move(made));
}

NamespaceChanges Controller::Impl::update_namespaces(const ControllerProfile& profile) {
  NamespaceChanges changes;
  std::vector<std::uint32_t> gone;
  for (const std::unique_ptr<Namespace>& known : namespaces_) {
    const bool present = std::ranges::any_of(
        profile.namespaces,
        [&known](const NamespaceProfile& each) { return each.nsid == known->nsid(); });
    if (!present) {
      gone.push_back(known->nsid());
    }
  }
  for (const std::uint32_t nsid : gone) {
    retire_namespace(nsid, NamespaceFate::kRemoved, "the controller does not have it any more",
                     changes);
  }
  for (const NamespaceProfile& each : profile.namespaces) {
    update_namespace(each, profile, changes);
  }
  std::ranges::sort(changes.removed);
  profile_.namespaces = profile.namespaces;
  profile_.ana_groups = profile.ana_groups;
  apply_ana_groups(profile_.ana_groups);
  if (changes.any() && listener_ != nullptr && state_ != ControllerState::kConnecting) {
    listener_->namespaces_updated(changes);
  }
  return changes;
}

void Controller::Impl::apply_ana_groups(std::span<const AnaGroup> groups) {
  for (const AnaGroup& group : groups) {
    for (const std::unique_ptr<Namespace>& each : namespaces_) {
      if (std::ranges::binary_search(group.nsids, each->nsid())) {
        each->set_ana_state(group.state);
      }
    }
  }
}

void Controller::Impl::namespaces_changed(const std::vector<std::uint32_t>& nsids) {
  announced_.announce(nsids);
  want_rescan(nsids);
  if (listener_ != nullptr) {
    listener_->namespaces_changed(nsids);
  }
}

void Controller::Impl::event_received(const spec::AsyncEvent& event,
                                      std::span<const std::byte> log) {
  if (event.is(spec::AsyncNotice::kAnaChange) && !log.empty()) {
    if (Result<std::vector<AnaGroup>> groups = decode_ana_log(log)) {
      apply_ana_groups(*groups);
      profile_.ana_groups = std::move(*groups);
    } else {
      log_warning("nvme", options_.name + ": " + groups.error().text);
    }
  }
  if (listener_ != nullptr) {
    listener_->event_received(event, log);
  }
}

}  // namespace nvublk::nvme
