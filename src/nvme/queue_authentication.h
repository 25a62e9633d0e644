#pragma once

// In-band authentication of one queue pair: DhchapHost, with Authentication Send and Receive
// commands and a thread that computes. Shard-affine, like its queue pair. [Base 2.3 §8.3.5]

#include <cstdint>
#include <memory>
#include <optional>

#include "engine/step_runner.h"
#include "nvme/dhchap_host.h"
#include "nvme/queue_pair.h"

namespace nvublk::nvme {

/// Whether a Connect that had this result, or what the user wants, makes authentication necessary;
/// the error says why it is not possible.
Result<bool> needs_authentication(const spec::ConnectResult& result,
                                  const ControllerOptions& options);

class QueueAuthentication final : public StepOwner<DhchapHost, DhchapAction>, private SlotWaiter {
 public:
  class Listener {
   public:
    /// Once for each start() that was not cancelled; not from within it.
    virtual void authenticated(const Result<DhchapResult>& result) = 0;

   protected:
    ~Listener() = default;
  };

  QueueAuthentication(QueuePair& queue_pair, Listener& listener);
  /// Waits for what is being computed, a moment at most.
  ~QueueAuthentication();
  QueueAuthentication(const QueueAuthentication&) = delete;
  QueueAuthentication& operator=(const QueueAuthentication&) = delete;

  /// Of a queue pair whose Connect has succeeded, and that need not be live. Not while it is busy.
  void start(const ControllerOptions& options);
  /// Tells nobody. A command that is under way ends with its connection.
  void cancel();
  bool running() const { return runner_ && runner_->running(); }
  /// Also while a command of one that was cancelled is under way.
  bool busy() const { return running() || command_outstanding_; }
  StepView step() const;

 private:
  using Runner = StepRunner<DhchapHost, DhchapAction, DhchapOutcome>;
  struct Calculation;

  void perform(DhchapHost& machine, const DhchapAction& action) override;
  void ended(DhchapHost& machine) override;
  void slot_free(Request& request) override;
  void no_slot() override;
  void send(Request& request);
  void on_done(spec::NvmeStatus status);
  void calculate();
  void calculated(Result<DhchapCalculation::Answer> answer);
  void abandon_calculation();
  void stop_waiting_for_slot();
  void finish(std::optional<Error> failure);

  QueuePair& queue_pair_;
  Listener& listener_;
  Duration limit_{};
  DhchapAction action_;
  std::unique_ptr<DhchapHost> machine_;
  std::unique_ptr<Runner> runner_;
  Calculation* calculation_ = nullptr;  ///< its own owner
  bool command_outstanding_ = false;
  std::optional<Error> failure_;
  Deferred failed_;
};

}  // namespace nvublk::nvme
