#pragma once

// The driver of every control sequence (controller initialization, handshakes, ublk start, ...). A
// sequence is a table of rows; row i is step i. The machine is pure: it does no I/O and reads no
// clock. It hands out one Action at a time, its owner performs it and reports one Event. Deadlines,
// disconnects, error mapping and repeats are handled here, once, for all sequences; it fails closed
// and the error names the step.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "engine/check.h"
#include "engine/error.h"
#include "engine/time.h"

namespace nvublk {

/// What a sequence wants done next. `Payload` says what, for kPerform.
template <typename Payload>
struct StepAction {
  enum class Kind : std::uint8_t {
    kPerform,  ///< do `payload`, then report kOutcome
    kSleep,    ///< report kWoke at `until`
    kDone,     ///< the sequence is complete
    kFailed,   ///< the sequence failed; see StepMachine::error()
  };
  Kind kind = Kind::kDone;
  Payload payload{};
  Instant until = kNever;     ///< kSleep: when to wake
  Instant deadline = kNever;  ///< kPerform, kSleep: when to report kDeadline
};

/// What has happened. `Outcome` says how the performed payload went; it has
/// `std::optional<Error> error() const`.
template <typename Outcome>
struct StepEvent {
  enum class Kind : std::uint8_t { kOutcome, kWoke, kDeadline, kDisconnected };
  Kind kind = Kind::kOutcome;
  Outcome outcome{};
  Error error{};  ///< kDisconnected: why

  static StepEvent of(Outcome outcome) { return {Kind::kOutcome, std::move(outcome), {}}; }
  static StepEvent woke() { return {Kind::kWoke, {}, {}}; }
  static StepEvent deadline() { return {Kind::kDeadline, {}, {}}; }
  static StepEvent disconnected(Error error) { return {Kind::kDisconnected, {}, std::move(error)}; }
};

/// What a row's `end` decides after it has read the outcome.
struct StepNext {
  enum class Kind : std::uint8_t { kNext, kGoto, kRepeat, kFail, kDone };
  Kind kind = Kind::kNext;
  std::size_t step = 0;               ///< kGoto
  Duration delay = Duration::zero();  ///< kRepeat: how long to sleep before the row begins again
  Error error{};                      ///< kFail

  static StepNext next() { return {}; }
  static StepNext jump(std::size_t step) { return {Kind::kGoto, step, {}, {}}; }
  /// The same row once more (polling); the row's deadline goes on counting.
  static StepNext repeat(Duration delay) { return {Kind::kRepeat, 0, delay, {}}; }
  static StepNext fail(Error error) { return {Kind::kFail, 0, {}, std::move(error)}; }
  static StepNext done() { return {Kind::kDone, 0, {}, {}}; }
};

/// Base of a sequence `Machine` whose rows are `std::span<const Row> rows() const`.
template <typename Machine, typename Payload, typename Outcome>
class StepMachine {
 public:
  using Action = StepAction<Payload>;
  using Event = StepEvent<Outcome>;
  struct Row {
    const char* name;                    ///< what status prints, such as "wait CSTS.RDY=1"
    const char* spec;                    ///< such as "Base 2.1 §3.5.1"
    Duration (Machine::*limit)() const;  ///< for the row and all its repeats; Duration::max(): none
    std::optional<Payload> (Machine::*begin)();        ///< nullopt: nothing to do, next row
    StepNext (Machine::*end)(const Outcome& outcome);  ///< reads the outcome
    bool tolerates_error = false;                      ///< `end` also gets outcomes with an error
  };

  /// Begins with row `first`; those before it do not run.
  Action start(Instant now, std::size_t first = 0) {
    CHECK(!running_);
    running_ = started_ = true;
    done_ = false;
    error_.reset();
    return enter(first, now);
  }

  /// Takes the event of the outstanding action. After kDone or kFailed there is none.
  Action advance(const Event& event, Instant now) {
    CHECK(running_);
    const Row& row = current();
    switch (event.kind) {
      case Event::Kind::kDisconnected:
        return fail_with(event.error);
      case Event::Kind::kDeadline:
        return fail_with(timed_out(row));
      case Event::Kind::kWoke:
        return begin(now);
      case Event::Kind::kOutcome:
        break;
    }
    if (std::optional<Error> error = event.outcome.error(); error && !row.tolerates_error) {
      return fail_with(std::move(*error));
    }
    return decide((machine().*row.end)(event.outcome), now);
  }

  /// Ends it where it is, neither done nor failed; may be started again.
  void cancel() { running_ = false; }

  bool running() const { return running_; }
  bool done() const { return done_; }
  /// Valid after kFailed; its `step` is the row's name.
  const Error& error() const { return *error_; }
  bool failed() const { return error_.has_value(); }
  std::size_t step() const { return step_; }
  /// The row that runs, or the last one that did; "" before start().
  const char* step_name() const { return started_ ? current().name : ""; }
  const char* step_spec() const { return started_ ? current().spec : ""; }
  Instant step_since() const { return since_; }
  Instant step_deadline() const { return deadline_; }

 private:
  Machine& machine() { return static_cast<Machine&>(*this); }
  const Machine& machine() const { return static_cast<const Machine&>(*this); }
  const Row& current() const { return machine().rows()[step_]; }

  Action enter(std::size_t step, Instant now) {
    while (step < machine().rows().size()) {
      step_ = step;
      since_ = now;
      deadline_ = instant_after(now, (machine().*current().limit)());
      if (std::optional<Payload> payload = (machine().*current().begin)()) {
        return perform(std::move(*payload));
      }
      step++;
    }
    return finish();
  }

  Action begin(Instant now) {
    if (std::optional<Payload> payload = (machine().*current().begin)()) {
      return perform(std::move(*payload));
    }
    return enter(step_ + 1, now);
  }

  Action perform(Payload payload) {
    Action action;
    action.kind = Action::Kind::kPerform;
    action.payload = std::move(payload);
    action.deadline = deadline_;
    return action;
  }

  Action decide(StepNext next, Instant now) {
    switch (next.kind) {
      case StepNext::Kind::kNext:
        return enter(step_ + 1, now);
      case StepNext::Kind::kGoto:
        CHECK(next.step < machine().rows().size());
        return enter(next.step, now);
      case StepNext::Kind::kRepeat:
        return repeat(next.delay, now);
      case StepNext::Kind::kFail:
        return fail_with(std::move(next.error));
      case StepNext::Kind::kDone:
        return finish();
    }
    return finish();
  }

  Action repeat(Duration delay, Instant now) {
    if (now >= deadline_) {
      return fail_with(timed_out(current()));
    }
    if (delay == Duration::zero()) {
      return begin(now);
    }
    Action action;
    action.kind = Action::Kind::kSleep;
    action.until = instant_after(now, delay);
    action.deadline = deadline_;
    return action;
  }

  Action finish() {
    running_ = false;
    done_ = true;
    Action action;
    action.kind = Action::Kind::kDone;
    return action;
  }

  Action fail_with(Error error) {
    if (error.step.empty()) {
      error.step = current().name;
    }
    error_ = std::move(error);
    running_ = false;
    Action action;
    action.kind = Action::Kind::kFailed;
    return action;
  }

  Error timed_out(const Row& row) const {
    const auto limit = std::chrono::duration_cast<milliseconds>(deadline_ - since_).count();
    return Error{ErrorCode::kTimeout, "no answer within " + std::to_string(limit) + " ms", row.name,
                 0};
  }

  bool running_ = false;
  bool started_ = false;
  bool done_ = false;
  std::size_t step_ = 0;
  Instant since_{};
  Instant deadline_ = kNever;
  std::optional<Error> error_;
};

}  // namespace nvublk
