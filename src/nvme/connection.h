#pragma once

// A controller on its way from connect to the end of its shutdown, for those who poll. It is held
// by whoever waits for it. Shard-affine.

#include <memory>
#include <optional>
#include <string>

#include "nvme/controller.h"
#include "nvme/transport_options.h"

namespace nvublk::nvme {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  enum class State : std::uint8_t {
    kConnecting,
    kReady,
    kFailed,   ///< connect failed; all is closed
    kClosing,  ///< being shut down
    kClosed,   ///< all is closed
  };

  static Result<std::shared_ptr<Connection>> begin(Shard& shard, const TransportMaker& maker,
                                                   const ControllerOptions& options,
                                                   ControllerListener* listener);
  /// Shuts it down, whatever its state; harmless when it has ended.
  void close();

  State state() const { return state_; }
  bool ended() const { return state_ == State::kFailed || state_ == State::kClosed; }
  /// Why connect failed.
  const Error& error() const { return error_; }
  Controller& controller() { return *controller_; }
  const TransportId& id() const { return id_; }
  const std::string& hostnqn() const { return hostnqn_; }

  // The initiator's bookkeeping.
  unsigned references = 0;
  std::optional<TransportId> discovered_by;
  bool removal_reported = false;

 private:
  Connection() = default;

  State state_ = State::kConnecting;
  TransportId id_;
  std::string hostnqn_;
  Error error_;
  std::unique_ptr<Controller> controller_;
};

}  // namespace nvublk::nvme
