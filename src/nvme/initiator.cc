#include "nvme/initiator.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "nvme/connection.h"
#include "nvme/discovery_walk.h"
#include "nvme/nqn.h"
#include "nvme/pci_scan.h"
#include "nvme/uuid.h"

namespace nvublk::nvme {

namespace {

Error in_a_turn() {
  return Error::make(ErrorCode::kBusy,
                     "this waits, so it cannot be called from within a turn of the shard; use the "
                     "asynchronous call");
}

}  // namespace

Initiator::Initiator(Shard& shard, TransportMaker maker, const ControllerOptions& defaults,
                     std::string sysfs)
    : shard_(shard), maker_(std::move(maker)), defaults_(defaults), sysfs_(std::move(sysfs)) {
  defaults_.application_queues = true;
  if (defaults_.host.nqn.empty()) {
    // Without one there is an error when something is connected, which says so.
    if (const Result<Uuid> id = Uuid::generate()) {
      defaults_.host.id = *id;
      defaults_.host.nqn = uuid_nqn(*id);
    }
  }
}

Initiator::~Initiator() {
  for (const std::shared_ptr<Connection>& connection : connections_) {
    connection->close();
  }
  reap();
  while (!connections_.empty()) {
    turn(true);
    reap();
  }
}

void Initiator::turn(bool may_sleep) {
  if (shard_.reactor().turning()) {
    return;
  }
  if (may_sleep) {
    shard_.reactor().turn_or_wait();
  } else {
    shard_.reactor().turn(false);
  }
}

void Initiator::reap() {
  std::erase_if(connections_,
                [](const std::shared_ptr<Connection>& connection) { return connection->ended(); });
}

void Initiator::abandon(const std::shared_ptr<Connection>& connection) {
  connection->close();
  if (!connection->ended() && std::ranges::find(connections_, connection) == connections_.end()) {
    connections_.push_back(connection);
  }
}

std::shared_ptr<Connection> Initiator::lookup(const TransportId& id,
                                              const std::string& hostnqn) const {
  const auto found = std::ranges::find_if(connections_, [&](const auto& each) {
    return each->id() == id && each->hostnqn() == hostnqn && !each->ended();
  });
  return found == connections_.end() ? nullptr : *found;
}

std::shared_ptr<Connection> Initiator::lookup(const Controller& controller) const {
  const auto found = std::ranges::find_if(
      connections_, [&](const auto& each) { return &each->controller() == &controller; });
  return found == connections_.end() ? nullptr : *found;
}

Result<std::unique_ptr<ProbeContext>> Initiator::probe_async(const std::optional<TransportId>& id,
                                                             ProbeCallbacks callbacks) {
  CHECK_ON(shard_);
  std::unique_ptr<ProbeContext> context(new ProbeContext(*this, std::move(callbacks)));
  if (!id) {
    context->looks_for_local_ = true;
    for (const PciAddress& address : find_pci_controllers(sysfs_)) {
      TransportId local;
      local.trtype = Trtype::kPcie;
      local.traddr = address.to_string();
      CHECK(local.complete().has_value());
      context->candidates_.push_back(local);
    }
    return context;
  }
  TransportId complete = *id;
  if (Status status = complete.complete(); !status) {
    return std::unexpected(std::move(status.error()));
  }
  if (complete.is_fabrics() && complete.is_discovery()) {
    context->discovery_id_ = complete;
    ControllerOptions options = defaults_;
    options.keep_alive = milliseconds(0);  // the connection does not stay
    context->walk_ = std::make_unique<DiscoveryWalk>(shard_, maker_, options, complete);
  } else {
    context->looks_for_local_ = !complete.is_fabrics();
    context->local_id_ = complete;
    context->candidates_.push_back(complete);
  }
  return context;
}

Status Initiator::probe(const std::optional<TransportId>& id, ProbeCallbacks callbacks) {
  if (shard_.reactor().turning()) {
    return std::unexpected(in_a_turn());
  }
  auto context = probe_async(id, std::move(callbacks));
  if (!context) {
    return std::unexpected(std::move(context.error()));
  }
  while ((*context)->advance(true) == -EAGAIN) {
  }
  return {};
}

Result<std::unique_ptr<ProbeContext>> Initiator::connect_async(const TransportId& id,
                                                               const ControllerOptions& options,
                                                               ProbeCallbacks callbacks) {
  CHECK_ON(shard_);
  TransportId complete = id;
  if (Status status = complete.complete(); !status) {
    return std::unexpected(std::move(status.error()));
  }
  ControllerOptions used = options;
  used.application_queues = true;
  used.discovery_allowed = complete.is_discovery();
  used.transport.id = complete;
  std::unique_ptr<ProbeContext> context(new ProbeContext(*this, std::move(callbacks)));
  context->begin(complete, used);
  return context;
}

Result<Controller*> Initiator::connect(const TransportId& id, const ControllerOptions& options) {
  if (shard_.reactor().turning()) {
    return std::unexpected(in_a_turn());
  }
  Result<Controller*> result = nvublk::fail(ErrorCode::kCancelled, "the connection was given up");
  ProbeCallbacks callbacks;
  callbacks.attach = [&result](const TransportId&, Controller& controller,
                               const ControllerOptions&) { result = &controller; };
  callbacks.attach_fail = [&result](const TransportId&, const Error& error) {
    result = std::unexpected(error);
  };
  auto context = connect_async(id, options, std::move(callbacks));
  if (!context) {
    return std::unexpected(std::move(context.error()));
  }
  while ((*context)->advance(true) == -EAGAIN) {
  }
  return result;
}

Controller* Initiator::find(const TransportId& id, const std::string& hostnqn) const {
  const auto found = lookup(id, hostnqn);
  return found && found->state() == Connection::State::kReady && found->references > 0
             ? &found->controller()
             : nullptr;
}

std::vector<Controller*> Initiator::attached() const {
  std::vector<Controller*> result;
  for (const std::shared_ptr<Connection>& each : connections_) {
    if (each->state() == Connection::State::kReady && each->references > 0) {
      result.push_back(&each->controller());
    }
  }
  return result;
}

unsigned Initiator::references(const Controller& controller) const {
  const auto found = lookup(controller);
  return found ? found->references : 0;
}

void Initiator::scan_attached(const std::function<void(Controller& controller)>& removed) {
  const std::vector<std::shared_ptr<Connection>> all = connections_;
  for (const std::shared_ptr<Connection>& each : all) {
    if (each->state() == Connection::State::kReady && each->references > 0 &&
        each->controller().state() == ControllerState::kFailed && !each->removal_reported) {
      each->removal_reported = true;
      removed(each->controller());
    }
  }
}

Status Initiator::reset(Controller& controller) {
  CHECK_ON(shard_);
  if (shard_.reactor().turning()) {
    return std::unexpected(in_a_turn());
  }
  const std::shared_ptr<Connection> connection = lookup(controller);
  if (!connection || connection->references == 0) {
    return nvublk::fail(ErrorCode::kNotFound, "this controller is not attached");
  }
  std::optional<Status> result;
  controller.reset([&result](Status status) { result = std::move(status); });
  while (!result) {
    turn(true);
  }
  return *result;
}

Status Initiator::detach_async(Controller& controller, DetachContext& context) {
  CHECK_ON(shard_);
  const std::shared_ptr<Connection> connection = lookup(controller);
  if (!connection || connection->references == 0) {
    return nvublk::fail(ErrorCode::kNotFound, "this controller is not attached");
  }
  context.initiator_ = this;
  if (--connection->references > 0) {
    return {};
  }
  connection->close();
  context.closing_.push_back(connection);
  return {};
}

Status Initiator::detach(Controller& controller) {
  if (shard_.reactor().turning()) {
    return std::unexpected(in_a_turn());
  }
  DetachContext context;
  if (Status status = detach_async(controller, context); !status) {
    return status;
  }
  while (context.poll() == -EAGAIN) {
    turn(true);
  }
  return {};
}

int DetachContext::poll() {
  if (initiator_ == nullptr) {
    return 0;
  }
  initiator_->turn(false);
  std::erase_if(closing_, [](const auto& connection) { return connection->ended(); });
  initiator_->reap();
  return closing_.empty() ? 0 : -EAGAIN;
}

}  // namespace nvublk::nvme
