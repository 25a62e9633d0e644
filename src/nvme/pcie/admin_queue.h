#pragma once

// The admin queue over PCIe. Connecting opens the device, takes the controller out of service and
// gives it the queue; the controller's own sequence enables it then. Property Get and Set, which
// that sequence uses on every transport, are register accesses here. Control-shard-affine.
//
//   kIdle -> kOpening -> kDisabling -> kConnected -> kClosing -> kClosed
//
// kClosing: until the controller is out of service. Only then is memory of requests or of any
// queue free again.

#include <deque>
#include <memory>
#include <vector>

#include "engine/blocking_call.h"
#include "engine/shard.h"
#include "engine/step_runner.h"
#include "nvme/pcie/admin_link.h"
#include "nvme/pcie/controller_disable.h"
#include "nvme/pcie/event_wait.h"
#include "nvme/pcie/queue_rings.h"
#include "nvme/transport.h"

namespace nvublk::nvme::pcie {

class PcieAdminQueue final : public QueueTransport,
                             private AdminLinkServer,
                             private StepOwner<ControllerDisable, ControlAction>,
                             private Poller,
                             private Flusher {
 public:
  struct Options {
    DeviceOpener opener;
    bool controller_memory = false;  ///< I/O submission queues in the controller's memory
  };
  PcieAdminQueue(Shard& shard, Options options, std::shared_ptr<AdminLink> link,
                 RequestTable& requests, QueueTransportSink& sink);
  /// Before connect(), or after on_disconnected().
  ~PcieAdminQueue() override;

  void connect() override;
  void submit(Request& request) override;
  void disconnect(Error reason) override;
  StepView step() const override;

 private:
  enum class State : std::uint8_t { kIdle, kOpening, kDisabling, kConnected, kClosing, kClosed };
  using DisableRunner = StepRunner<ControllerDisable, ControlAction, ControlOutcome>;
  struct Job {
    spec::SubmissionEntry sqe;
    Done done;
  };

  void identified(const spec::IdentifyController& identify) override;
  void access(Accessed done) override;
  void run(const spec::SubmissionEntry& sqe, Done done) override;
  void reset(const Error& reason, Done done) override;
  void perform(ControllerDisable& machine, const ControlAction& action) override;
  void ended(ControllerDisable& machine) override;
  unsigned poll() override;
  bool arm() override;
  void flush() override;

  void opened(Result<std::shared_ptr<PcieDevice>> device);
  void disable(bool leaving);
  Status make_rings();
  void answer_property(const Request& request);
  void deliver(const spec::CompletionEntry& entry);
  void start_job();
  void set_up_shadows();
  spec::Csts csts();
  void check_health();
  void close(Error reason);
  void stop_waiting();
  void waits_ended();
  void end();

  Shard& shard_;
  Reactor& reactor_;
  const Options options_;
  const std::shared_ptr<AdminLink> link_;
  RequestTable& requests_;
  QueueTransportSink& sink_;
  State state_ = State::kIdle;
  Instant opening_since_{};
  BlockingCall opening_;
  std::shared_ptr<PcieSession> session_;
  spec::Cap cap_;
  bool identified_ = false;      // it has worked
  bool asked_to_close_ = false;  // rather than closed for what was seen of the device
  bool keeps_device_ = false;    // for the next connection
  bool wants_shadows_ = false;   // the controller has them, and was not asked yet
  std::unique_ptr<ControllerDisable> machine_;
  std::unique_ptr<DisableRunner> runner_;
  ControlOutcome outcome_;  // of the machine's action, reported from a deferred
  Deferred report_;
  std::unique_ptr<QueueRings> rings_;
  bool polled_ = false;
  std::deque<Job> jobs_;  // the first one runs if job_ is set
  bool shadows_pending_ = false;
  std::vector<Accessed> asking_;  // wait for the shadow doorbells
  Request* job_ = nullptr;        // the slot of the job that runs
  EventWait interrupt_;
  EventWait removal_;
  unsigned waits_open_ = 0;
  Timer health_;
  Timer job_limit_;
  Error reason_;
};

}  // namespace nvublk::nvme::pcie
