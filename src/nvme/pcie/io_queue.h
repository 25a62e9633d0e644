#pragma once

// An I/O queue pair over PCIe: a completion queue and a submission queue of the same size, made and
// deleted through the admin queue. Shard-affine.
//
//   kIdle -> kAsking -> kCreatingCq -> kCreatingSq -> kConnected
//        -> kDeletingSq -> kDeletingCq -> kClosing -> kClosed
//
// The submission queue goes first: a completion queue that one still uses cannot be deleted.
// [Base 2.1 §5.2.3] Nothing is released before the controller has confirmed, or was reset.

#include <memory>

#include "engine/shard.h"
#include "nvme/pcie/admin_link.h"
#include "nvme/pcie/event_wait.h"
#include "nvme/pcie/queue_rings.h"
#include "nvme/transport.h"

namespace nvublk::nvme::pcie {

class PcieIoQueue final : public QueueTransport, private Poller, private Flusher {
 public:
  PcieIoQueue(Shard& shard, const QueueTransportOptions& options, std::shared_ptr<AdminLink> link,
              RequestTable& requests, QueueTransportSink& sink);
  /// Before connect(), or after on_disconnected().
  ~PcieIoQueue() override;

  void connect() override;
  void submit(Request& request) override;
  void disconnect(Error reason) override;
  StepView step() const override;
  bool in_controller_memory() const override { return rings_ && rings_->in_controller(); }

 private:
  enum class State : std::uint8_t {
    kIdle,
    kAsking,
    kCreatingCq,
    kCreatingSq,
    kConnected,
    kDeletingSq,
    kDeletingCq,
    kClosing,
    kClosed
  };

  unsigned poll() override;
  bool arm() override;
  void flush() override;

  void enter(State state);
  void asked(const AdminLink::Access& access);
  void create_cq();
  void create_sq();
  void ask(State state, const spec::SubmissionEntry& sqe);
  void answered(const AdminOutcome& outcome);
  void creation_failed(const AdminOutcome& outcome);
  void deletion_ended(const AdminOutcome& outcome);
  void delete_queues();
  void stop_waiting();
  void end();
  void fail(Error reason);
  bool has_interrupt() const { return vector_ != 0; }

  Shard& shard_;
  Reactor& reactor_;
  const std::uint16_t qid_;
  const std::uint8_t priority_;
  const QueueMemory memory_;
  const std::shared_ptr<AdminLink> link_;
  RequestTable& requests_;
  QueueTransportSink& sink_;
  State state_ = State::kIdle;
  Instant since_{};
  std::shared_ptr<PcieSession> session_;
  std::unique_ptr<QueueRings> rings_;
  std::uint16_t vector_ = 0;  // 0: no interrupt
  bool polled_ = false;
  bool closing_ = false;  // disconnect() came while a command was under way
  bool has_cq_ = false;   // the controller knows it
  bool has_sq_ = false;
  EventWait interrupt_;
  Error reason_;
};

}  // namespace nvublk::nvme::pcie
