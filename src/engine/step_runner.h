#pragma once

// Drives a StepMachine on a reactor: sleeps, deadlines and the hand-over of actions. The owner
// performs payloads and reports outcomes. Shard-affine.

#include "engine/reactor.h"
#include "engine/step_machine.h"

namespace nvublk {

/// What the owner of a StepRunner does for it.
template <typename Machine, typename Payload>
class StepOwner {
 public:
  /// Begins `payload`; report through StepRunner::finish(), never from within this call.
  virtual void perform(Machine& machine, const Payload& payload) = 0;
  /// The machine is done or failed.
  virtual void ended(Machine& machine) = 0;

 protected:
  ~StepOwner() = default;
};

template <typename Machine, typename Payload, typename Outcome>
class StepRunner {
  using Action = StepAction<Payload>;
  using Event = StepEvent<Outcome>;

 public:
  StepRunner(Reactor& reactor, Machine& machine, StepOwner<Machine, Payload>& owner)
      : reactor_(reactor),
        machine_(machine),
        owner_(owner),
        wake_([](Timer&, void* self) { static_cast<StepRunner*>(self)->on_wake(); }, this),
        deadline_([](Timer&, void* self) { static_cast<StepRunner*>(self)->on_deadline(); }, this) {
  }
  ~StepRunner() { stop_waiting(); }
  StepRunner(const StepRunner&) = delete;
  StepRunner& operator=(const StepRunner&) = delete;

  /// Begins with row `first`.
  void start(std::size_t first = 0) { apply(machine_.start(reactor_.clock(), first)); }
  /// The outstanding payload's outcome. Late outcomes (after a deadline or a disconnect) are
  /// ignored by the caller: ask waiting() first.
  void finish(Outcome outcome) { report(Event::of(std::move(outcome))); }
  void disconnected(Error error) { report(Event::disconnected(std::move(error))); }
  /// Whether a payload is being performed.
  bool waiting() const { return waiting_; }
  bool running() const { return machine_.running(); }
  /// Stops the machine where it is, without a report.
  void cancel() {
    stop_waiting();
    machine_.cancel();
  }

 private:
  void stop_waiting() {
    waiting_ = false;
    reactor_.cancel(wake_);
    reactor_.cancel(deadline_);
  }

  void on_wake() { report(Event::woke()); }
  void on_deadline() { report(Event::deadline()); }

  void report(const Event& event) {
    if (!machine_.running()) {
      return;
    }
    apply(machine_.advance(event, reactor_.clock()));
  }

  void apply(const Action& action) {
    stop_waiting();
    switch (action.kind) {
      case Action::Kind::kPerform:
        waiting_ = true;
        if (action.deadline != kNever) {
          reactor_.arm(deadline_, action.deadline);
        }
        owner_.perform(machine_, action.payload);
        return;
      case Action::Kind::kSleep:
        reactor_.arm(wake_, action.until);
        if (action.deadline != kNever) {
          reactor_.arm(deadline_, action.deadline);
        }
        return;
      case Action::Kind::kDone:
      case Action::Kind::kFailed:
        owner_.ended(machine_);
        return;
    }
  }

  Reactor& reactor_;
  Machine& machine_;
  StepOwner<Machine, Payload>& owner_;
  Timer wake_;
  Timer deadline_;
  bool waiting_ = false;
};

}  // namespace nvublk
