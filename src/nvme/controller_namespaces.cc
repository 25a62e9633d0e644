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
  if (rescan_done_ || sequence_waits() || command_outstanding_) {
    finish(done, nvublk::fail(ErrorCode::kBusy, "the namespaces are being looked at already"));
    return;
  }
  rescan_done_ = std::move(done);
  init_ = std::make_unique<ControllerInit>(options_, profile_);
  init_runner_ = std::make_unique<InitRunner>(reactor_, *init_, *this);
  init_runner_->start(ControllerInit::kFirstNamespaceStep);
}

void Controller::Impl::update_namespace(const NamespaceProfile& each,
                                        const ControllerProfile& profile,
                                        NamespaceChanges& changes) {
  const BlockGeometry geometry = namespace_geometry(each, profile, transport_->limits());
  const auto known = std::ranges::find_if(
      namespaces_, [&each](const auto& candidate) { return candidate->nsid() == each.nsid; });
  if (known != namespaces_.end()) {
    Namespace& same = **known;
    const bool resized = same.geometry().size_blocks != geometry.size_blocks;
    if (same.identity() == namespace_identity(each) && same.update(each, geometry)) {
      if (resized) {
        changes.resized.push_back(each.nsid);
      }
      return;
    }
    changes.removed.push_back(each.nsid);
    same.deactivate();
    removed_namespaces_.push_back(std::move(*known));
    namespaces_.erase(known);
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

void Controller::Impl::update_namespaces(const ControllerProfile& profile) {
  NamespaceChanges changes;
  for (auto at = namespaces_.begin(); at != namespaces_.end();) {
    const bool present = std::ranges::any_of(
        profile.namespaces,
        [&at](const NamespaceProfile& each) { return each.nsid == (*at)->nsid(); });
    if (present) {
      ++at;
      continue;
    }
    changes.removed.push_back((*at)->nsid());
    (*at)->deactivate();
    removed_namespaces_.push_back(std::move(*at));
    at = namespaces_.erase(at);
  }
  for (const NamespaceProfile& each : profile.namespaces) {
    update_namespace(each, profile, changes);
  }
  std::ranges::sort(changes.removed);
  profile_.namespaces = profile.namespaces;
  if (changes.any() && listener_ != nullptr && state_ != ControllerState::kConnecting) {
    listener_->namespaces_updated(changes);
  }
}

void Controller::Impl::namespaces_changed(const std::vector<std::uint32_t>& nsids) {
  if (listener_ != nullptr) {
    listener_->namespaces_changed(nsids);
  }
}

void Controller::Impl::event_received(const spec::AsyncEvent& event,
                                      std::span<const std::byte> log) {
  if (event.is(spec::AsyncNotice::kAnaChange)) {
    if (const Result<std::vector<AnaGroup>> groups = decode_ana_log(log)) {
      for (const AnaGroup& group : *groups) {
        for (const std::unique_ptr<Namespace>& each : namespaces_) {
          if (std::ranges::binary_search(group.nsids, each->nsid())) {
            each->set_ana_state(group.state);
          }
        }
      }
    } else {
      log_warning("nvme", options_.name + ": " + groups.error().text);
    }
  }
  if (listener_ != nullptr) {
    listener_->event_received(event, log);
  }
}

}  // namespace nvublk::nvme
