#include "nvme/controller.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/check.h"
#include "nvme/controller_impl.h"

namespace nvublk::nvme {

namespace {

// Room for the controller's own commands beside the user's.
constexpr unsigned kMinAdminQueueSize = 16;
constexpr unsigned kMaxAdminQueueSize = 4096;
constexpr unsigned kMaxApplicationQueues = 1024;
constexpr unsigned kMinQueueSize = 2;
constexpr unsigned kMaxQueueSize = 1024;

/// What logs call a controller that has no name.
std::string name_of(const TransportId& id) {
  if (id.subnqn.empty() || id.is_discovery()) {
    return id.traddr + (id.trsvcid.empty() ? "" : ":" + id.trsvcid);
  }
  return id.subnqn;
}

Status check(const ControllerOptions& options) {
  if (Status status = check_policy(options); !status) {
    return status;
  }
  if (Status status = check_dhchap(options); !status) {
    return status;
  }
  if (Status status = check_nqn_usable(options.host.nqn, "the host NQN"); !status) {
    return status;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Controller>> Controller::create(const ShardSet& shards,
                                                       const ControllerOptions& options,
                                                       std::unique_ptr<Transport> transport,
                                                       ControllerListener* listener) {
  CHECK(shards.control != nullptr && (options.application_queues || !shards.io.empty()));
  CHECK_ON(*shards.control);
  if (Status status = check(options); !status) {
    return std::unexpected(std::move(status.error()));
  }
  if (!options.tls_key.empty() && !transport->limits().tls) {
    return fail(ErrorCode::kInvalidArgument,
                "there is a TLS key, but the transport was made without it: make it of "
                "transport_options()");
  }
  ControllerOptions clamped = options;
  if (clamped.name.empty()) {
    clamped.name = name_of(clamped.transport.id);
  }
  clamped.queue_size = std::clamp(options.queue_size, kMinQueueSize, kMaxQueueSize);
  clamped.io_queue_requests =
      std::clamp(options.io_queue_requests, clamped.queue_size, IoQueuePairOptions::kMaxRequests);
  clamped.arbitration.burst = std::min<std::uint8_t>(options.arbitration.burst, 7);
  clamped.admin_queue_size =
      std::clamp(options.admin_queue_size, kMinAdminQueueSize, kMaxAdminQueueSize);
  // Applications may want more queue pairs later than there are shards now.
  const auto most =
      options.application_queues ? kMaxApplicationQueues : static_cast<unsigned>(shards.io.size());
  clamped.io_queues = options.io_queues == 0 ? most : std::min(options.io_queues, most);
  return std::unique_ptr<Controller>(
      new Controller(std::make_unique<Impl>(shards, clamped, std::move(transport), listener)));
}

Controller::Controller(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Controller::~Controller() = default;

void Controller::connect(Done done) {
  impl_->connect(std::move(done));
}
void Controller::disconnect(Done done, Duration limit) {
  impl_->disconnect(std::move(done), limit);
}
void Controller::limit_disconnect(Duration limit) {
  impl_->limit_disconnect(limit);
}
void Controller::set_policy(const ControllerOptions& policy, Done done) {
  impl_->set_policy(policy, std::move(done));
}
void Controller::fail_io(int error_number) {
  impl_->fail_io(error_number);
}
void Controller::reset(Done done) {
  impl_->reset(std::move(done));
}
void Controller::reconnect_now() {
  impl_->reconnect_now();
}
void Controller::mark_failed(const Error& reason) {
  impl_->abandon(reason);
}
void Controller::rescan(Done done) {
  impl_->rescan(std::move(done));
}
void Controller::authenticate(Done done) {
  impl_->authenticate(std::move(done));
}
Status Controller::set_keys(const DhchapKeys& keys) {
  return impl_->set_keys(keys);
}
bool Controller::closed() const {
  return impl_->closed();
}
const ControllerProfile& Controller::profile() const {
  return impl_->profile();
}
TransportLimits Controller::transport_limits() const {
  return impl_->transport_limits();
}
AdminCommands& Controller::admin() {
  return impl_->admin();
}

int Controller::submit_io(IoPassthrough command) {
  return impl_->submit_io(std::move(command));
}

int Controller::process_admin_completions() {
  Reactor& reactor = impl_->reactor();
  if (!reactor.turning()) {
    reactor.turn(false);
  }
  const auto done = static_cast<int>(impl_->admin().process());
  const bool failed = state() == ControllerState::kFailed || state() == ControllerState::kDeleting;
  return done == 0 && failed ? -ENXIO : done;
}

Result<IoQueuePair::Pointer> Controller::allocate_io_queue_pair(const IoQueuePairOptions& options) {
  Shard* shard = Shard::current();
  if (shard == nullptr || !this->options().application_queues) {
    return nvublk::fail(ErrorCode::kInvalidArgument,
                        "I/O queue pairs can be allocated of controllers with application_queues, "
                        "by threads that have a shard");
  }
  return IoQueuePair::allocate(impl_->ledger(), *shard, this->options(), options);
}

int Controller::abort(IoQueuePair& queue_pair, std::uint16_t cid, AdminCommand::Done done) {
  return impl_->admin().abort(queue_pair.qid(), cid, std::move(done));
}

int Controller::abort_tagged(IoQueuePair& queue_pair, void* tag) {
  const unsigned found = queue_pair.abort_matching(tag, [this, &queue_pair](std::uint16_t cid) {
    impl_->admin().abort(queue_pair.qid(), cid, nullptr);
  });
  return found == 0 ? -ENOENT : 0;
}

int Controller::abort_tagged(void* tag) {
  return impl_->admin().abort_tagged(tag) == 0 ? -ENOENT : 0;
}

const std::string& Controller::name() const {
  return impl_->options().name;
}
ControllerState Controller::state() const {
  return impl_->state();
}
ControllerStatus Controller::status() const {
  return impl_->status();
}
const ControllerOptions& Controller::options() const {
  return impl_->options();
}
std::vector<Namespace*> Controller::namespaces() const {
  return impl_->namespaces();
}

Namespace* Controller::find_namespace(std::uint32_t nsid) const {
  for (Namespace* candidate : impl_->namespaces()) {
    if (candidate->nsid() == nsid) {
      return candidate;
    }
  }
  return nullptr;
}

}  // namespace nvublk::nvme
