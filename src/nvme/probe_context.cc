#include <algorithm>
#include <cerrno>
#include <utility>

#include "nvme/connection.h"
#include "nvme/discovery_walk.h"
#include "nvme/initiator.h"
#include "nvme/pci_scan.h"

namespace nvublk::nvme {

ProbeContext::ProbeContext(Initiator& initiator, ProbeCallbacks callbacks)
    : initiator_(initiator), callbacks_(std::move(callbacks)) {}

ProbeContext::~ProbeContext() {
  if (walk_) {
    if (const auto connection = walk_->take_connection()) {
      initiator_.abandon(connection);
    }
  }
  for (const Attempt& attempt : attempts_) {
    if (attempt.first && attempt.connection->references == 0) {
      initiator_.abandon(attempt.connection);
    }
  }
}

int ProbeContext::poll() {
  return advance(false);
}

// Whether only a turn can bring more.
bool ProbeContext::waits() const {
  if (walk_) {
    return walk_->waits();
  }
  return !attempts_.empty() && std::ranges::all_of(attempts_, [](const Attempt& attempt) {
    return attempt.connection->state() == Connection::State::kConnecting;
  });
}

int ProbeContext::advance(bool may_sleep) {
  initiator_.turn(may_sleep && waits());
  if (walk_ && !advance_discovery()) {
    return -EAGAIN;
  }
  if (std::exchange(looks_for_local_, false)) {
    report_unplugged();
  }
  for (const TransportId& id : std::exchange(candidates_, {})) {
    consider(id);
  }
  for (std::size_t i = 0; i < attempts_.size();) {
    Attempt attempt = attempts_[i];
    if (attempt.connection->state() == Connection::State::kConnecting) {
      i++;
      continue;
    }
    attempts_.erase(attempts_.begin() + static_cast<std::ptrdiff_t>(i));
    finish(attempt);
  }
  initiator_.reap();
  return attempts_.empty() ? 0 : -EAGAIN;
}

bool ProbeContext::advance_discovery() {
  if (!walk_->poll()) {
    return false;
  }
  const std::unique_ptr<DiscoveryWalk> walk = std::move(walk_);
  for (const auto& [id, error] : walk->failures()) {
    failed(id, error);
  }
  const bool complete = walk->failures().empty();
  if (complete) {
    const std::vector<std::shared_ptr<Connection>> all = initiator_.connections_;
    for (const std::shared_ptr<Connection>& each : all) {
      const bool listed = std::ranges::any_of(
          walk->found(),
          [&each](const DiscoveryRecord& record) { return record.id == each->id(); });
      if (!listed && each->discovered_by && *each->discovered_by == *discovery_id_) {
        remove(*each);
      }
    }
  }
  for (const DiscoveryRecord& record : walk->found()) {
    consider(record.id);
  }
  return true;
}

void ProbeContext::report_unplugged() {
  const std::vector<std::shared_ptr<Connection>> all = initiator_.connections_;
  for (const std::shared_ptr<Connection>& each : all) {
    if (each->id().is_fabrics() || (local_id_ && *local_id_ != each->id())) {
      continue;
    }
    const Result<PciAddress> address = PciAddress::parse(each->id().traddr);
    if (address && !pci_function_present(*address, initiator_.sysfs_)) {
      remove(*each);
    }
  }
}

void ProbeContext::remove(Connection& connection) {
  if (callbacks_.remove && connection.state() == Connection::State::kReady &&
      connection.references > 0 && !std::exchange(connection.removal_reported, true)) {
    callbacks_.remove(connection.controller());
  }
}

void ProbeContext::failed(const TransportId& id, const Error& error) {
  if (callbacks_.attach_fail) {
    callbacks_.attach_fail(id, error);
  }
}

void ProbeContext::consider(const TransportId& id) {
  ControllerOptions options = initiator_.defaults_;
  options.transport.id = id;
  options.name = id.is_fabrics() ? id.subnqn : id.traddr;
  if (callbacks_.probe && !callbacks_.probe(id, options)) {
    return;
  }
  options.application_queues = true;
  options.transport.id = id;
  begin(id, options);
}

void ProbeContext::begin(const TransportId& id, const ControllerOptions& options) {
  if (std::shared_ptr<Connection> known = initiator_.lookup(id, options.host.nqn)) {
    attempts_.push_back({id, std::move(known), false});
    return;
  }
  auto connection =
      Connection::begin(initiator_.shard_, initiator_.maker_, options, callbacks_.listener);
  if (!connection) {
    failed(id, connection.error());
    return;
  }
  (*connection)->discovered_by = discovery_id_;
  initiator_.connections_.push_back(*connection);
  attempts_.push_back({id, std::move(*connection), true});
}

void ProbeContext::finish(Attempt& attempt) {
  Connection& connection = *attempt.connection;
  switch (connection.state()) {
    case Connection::State::kReady:
      connection.references++;
      if (callbacks_.attach) {
        callbacks_.attach(attempt.id, connection.controller(), connection.controller().options());
      }
      return;
    case Connection::State::kFailed:
      failed(attempt.id, connection.error());
      return;
    case Connection::State::kConnecting:
    case Connection::State::kClosing:
    case Connection::State::kClosed:
      failed(attempt.id,
             Error::make(ErrorCode::kBusy, "this controller is just being detached; try again"));
      return;
  }
}

}  // namespace nvublk::nvme
