#pragma once

// Internal: the Connect command of one I/O queue pair, with the second try that a target asks for
// which does not do without SQ flow control [Base 2.1 §6.3], and the authentication that may
// follow. Shard-affine, like its queue pair.

#include <cstdint>
#include <memory>

#include "nvme/controller_options.h"
#include "nvme/fabrics_connect.h"
#include "nvme/queue_pair.h"

namespace nvublk::nvme {

class QueueConnect {
 public:
  class Listener {
   public:
    /// The queue pair is live.
    virtual void queue_live(bool sq_flow_control_disabled) = 0;
    /// How authenticate() went.
    virtual void queue_authenticated(const Status& status) { static_cast<void>(status); }

   protected:
    ~Listener() = default;
  };

  /// `priority`: the queue's class, for weighted round robin arbitration; 0 is urgent.
  QueueConnect(QueuePair& queue_pair, const ControllerOptions& options, Listener& listener,
               std::uint8_t priority = 0);
  ~QueueConnect();

  /// Sends Connect for controller `cntlid`, unless the transport is not a fabric: then the queue
  /// pair, whose transport is connected, is live at once. A refusal closes the queue pair.
  void start(bool fabrics, std::uint16_t cntlid);
  /// The queue pair's connection has ended: nothing more is told of it.
  void cancel();
  /// Once more, on a live queue pair; false while that runs already, or without a key.
  bool authenticate();
  /// With these from now on.
  void set_keys(const DhchapKeys& keys);

 private:
  class Authentication;

  void send(bool disable_sq_flow_control);
  void on_done(spec::NvmeStatus status, const spec::CompletionEntry& entry);
  void authenticated(const Status& status);

  QueuePair& queue_pair_;
  ControllerOptions options_;
  const std::uint8_t priority_;
  Listener& listener_;
  std::uint16_t cntlid_ = 0;
  bool sq_flow_control_disabled_ = false;
  bool asked_no_flow_control_ = false;
  std::unique_ptr<spec::ConnectData> data_;
  std::unique_ptr<Authentication> authentication_;
};

}  // namespace nvublk::nvme
