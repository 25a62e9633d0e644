#pragma once

// The RDMA half of a queue pair: one connection. Joins the connection manager, the handshake and
// the session. Shard-affine.
//
//   kIdle -> kConnecting -> kConnected -> kClosing -> kClosed
//
// kClosing: the queue pair is in its error state, and the device gives back what was posted; then
// the queue pair is destroyed and its memory released. A device that gives nothing back, because it
// is gone, is waited for no longer than kFlushLimit: destroying the queue pair ends its accesses
// as well.

#include <cstdint>
#include <memory>
#include <string>

#include "engine/error.h"
#include "engine/shard.h"
#include "engine/step_runner.h"
#include "nvme/rdma/cm_connection.h"
#include "nvme/rdma/completion_queue.h"
#include "nvme/rdma/rdma_handshake.h"
#include "nvme/rdma/rdma_session.h"
#include "nvme/rdma/shard_device.h"
#include "nvme/transport.h"

namespace nvublk::nvme::rdma {

class RdmaQueue final : public QueueTransport,
                        private CmOwner,
                        private CompletionClient,
                        private StepOwner<RdmaHandshake, RdmaAction>,
                        private Flusher {
 public:
  struct Options {
    QueueTransportOptions queue;
    CmConnection::Options connection;
    std::string peer;  ///< "192.0.2.1:4420", for messages
    Duration step_timeout = seconds(5);
    bool share_receives = false;
  };

  RdmaQueue(Shard& shard, const Options& options, RequestTable& requests, QueueTransportSink& sink);
  /// Before connect(), or after on_disconnected().
  ~RdmaQueue() override;

  void connect() override;
  void submit(Request& request) override;
  void disconnect(Error reason) override;
  StepView step() const override;

 private:
  enum class State : std::uint8_t { kIdle, kConnecting, kConnected, kClosing, kClosed };
  static constexpr Duration kFlushLimit = seconds(1);

  void on_cm_event(const CmEvent& event) override;
  void on_work(std::uint32_t id, const ibv_wc& completion) override;
  void on_polled() override;
  void perform(RdmaHandshake& handshake, const RdmaAction& action) override;
  void ended(RdmaHandshake& handshake) override;
  void flush() override;

  void await(rdma_cm_event_type event, int error_number);
  void report_soon(RdmaOutcome outcome);
  void report();
  int resolve_timeout_ms() const;
  Status create_queue_pair();
  Status create_on_device();
  void resolve_address();
  void start_connecting();
  void handshake_event(const CmEvent& event);
  void release_queue_pair();
  void close(Error reason);
  void finish_close();
  Error lost(const std::string& why) const;

  Shard& shard_;
  Reactor& reactor_;
  const Options options_;
  RequestTable& requests_;
  QueueTransportSink& sink_;
  State state_ = State::kIdle;
  RdmaHandshake handshake_;
  StepRunner<RdmaHandshake, RdmaAction, RdmaOutcome> runner_;
  rdma_cm_event_type awaited_ = RDMA_CM_EVENT_TIMEWAIT_EXIT;
  RdmaOutcome outcome_;  // to be reported
  Deferred report_;
  Timer stale_timer_;

  CmConnection connection_;
  ShardDevice::Use device_;
  CompletionQueue* completions_ = nullptr;
  int reserved_completions_ = 0;
  std::uint32_t client_ = 0;
  std::unique_ptr<RdmaSession> session_;

  Error reason_;
  Timer flush_timer_;
  Deferred closed_;
};

}  // namespace nvublk::nvme::rdma
