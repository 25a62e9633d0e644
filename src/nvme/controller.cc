#include "nvme/controller.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"
#include "nvme/controller_impl.h"

namespace nvublk::nvme {

namespace {

Status check(const ControllerOptions& options) {
  if (options.queue_size < 2 || options.queue_size > 1024) {
    return fail(ErrorCode::kInvalidArgument, "the queue size is " +
                                                 std::to_string(options.queue_size) +
                                                 "; it has to be between 2 and 1024");
  }
  if (options.keep_alive.count() < 0) {
    return fail(ErrorCode::kInvalidArgument, "the keep alive timeout is negative");
  }
  if (options.ctrl_loss_timeout.count() < -1 || options.fast_io_fail_timeout.count() < -1) {
    return fail(ErrorCode::kInvalidArgument,
                "ctrl-loss-tmo and fast_io_fail_tmo are numbers of seconds, or -1");
  }
  if (options.ctrl_loss_timeout.count() != 0 && options.reconnect_delay.count() < 1) {
    return fail(ErrorCode::kInvalidArgument,
                "the reconnect delay has to be at least 1 second, unless ctrl-loss-tmo is 0");
  }
  if (options.ctrl_loss_timeout.count() > 0 &&
      options.fast_io_fail_timeout > options.ctrl_loss_timeout) {
    return fail(ErrorCode::kInvalidArgument,
                "fast_io_fail_tmo is longer than ctrl-loss-tmo; then it would never take effect");
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
  CHECK(shards.control != nullptr && !shards.io.empty());
  CHECK_ON(*shards.control);
  if (Status status = check(options); !status) {
    return std::unexpected(std::move(status.error()));
  }
  ControllerOptions clamped = options;
  const auto shard_count = static_cast<unsigned>(shards.io.size());
  clamped.io_queues =
      options.io_queues == 0 ? shard_count : std::min(options.io_queues, shard_count);
  return std::unique_ptr<Controller>(
      new Controller(std::make_unique<Impl>(shards, clamped, std::move(transport), listener)));
}

Controller::Controller(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Controller::~Controller() = default;

void Controller::connect(Done done) {
  impl_->connect(std::move(done));
}
void Controller::disconnect(Done done) {
  impl_->disconnect(std::move(done));
}
void Controller::fail_io(int error_number) {
  impl_->fail_io(error_number);
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
