#include "nvme/connection.h"

#include <utility>

namespace nvublk::nvme {

Result<std::shared_ptr<Connection>> Connection::begin(Shard& shard, const TransportMaker& maker,
                                                      const ControllerOptions& options,
                                                      ControllerListener* listener) {
  auto wanted = transport_options(options);
  if (!wanted) {
    return std::unexpected(std::move(wanted.error()));
  }
  auto transport = maker(*wanted);
  if (!transport) {
    return std::unexpected(std::move(transport.error()));
  }
  ShardSet shards;
  shards.control = &shard;
  auto controller = Controller::create(shards, options, std::move(*transport), listener);
  if (!controller) {
    return std::unexpected(std::move(controller.error()));
  }
  std::shared_ptr<Connection> connection(new Connection);
  connection->id_ = options.transport.id;
  connection->hostnqn_ = options.host.nqn;
  connection->controller_ = std::move(*controller);
  connection->controller_->connect([connection](Status status) {
    if (connection->state_ != State::kConnecting) {
      return;
    }
    connection->state_ = status ? State::kReady : State::kFailed;
    if (!status) {
      connection->error_ = std::move(status.error());
    }
  });
  return connection;
}

void Connection::close() {
  if (ended() || state_ == State::kClosing) {
    return;
  }
  state_ = State::kClosing;
  controller_->disconnect(
      [connection = shared_from_this()](Status) { connection->state_ = State::kClosed; });
}

}  // namespace nvublk::nvme
