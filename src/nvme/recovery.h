#pragma once

// The recovery of a controller whose connection was lost, or that is reset, as one sequence. Pure:
// no I/O, no clock, no thread; its owner performs one action at a time. In other words:
//
//   until it works:
//     stop all queues; what was outstanding for block devices is held, in its order
//     wait (not before the first attempt of a reset)
//     connect, initialize, look whether the namespaces are the same, connect the I/O queues
//     wait until the old connection's commands can have no effect any more
//     let the I/O queues go: what is held goes out again, before what came later
//
// That ctrl-loss-tmo is over is a kDisconnected event: the sequence fails at the step it is at.

#include <cstdint>
#include <span>

#include "engine/step_machine.h"
#include "nvme/controller_options.h"

namespace nvublk::nvme {

struct RecoveryAction {
  enum class Kind : std::uint8_t {
    kStopQueues,  ///< close every connection
    kWait,        ///< until `until`
    kConnect,     ///< as on the first day; the I/O queues are connected, but hold back
    kResume,      ///< have the I/O queues send
  };
  Kind kind = Kind::kStopQueues;
  Instant until{};
};

struct RecoveryOutcome {
  Instant now{};                   ///< when it was over
  std::optional<Error> failure{};  ///< why it did not work
  /// kConnect: until when commands of the old connection may still take effect.
  Instant old_commands_end{};
  std::optional<Error> error() const { return failure; }
};

class Recovery : public StepMachine<Recovery, RecoveryAction, RecoveryOutcome> {
 public:
  enum Step : std::size_t { kStop, kPause, kConnect, kOldCommands, kResume };

  /// `seed` spreads the attempts of hosts that lost the same target.
  Recovery(Duration reconnect_delay, bool is_reset, std::uint64_t seed);

  static std::span<const Row> rows();

  /// The longest pause from now on; a pause that has begun keeps its end.
  void set_reconnect_delay(Duration delay) { reconnect_delay_ = delay; }
  /// How many times connecting was begun.
  unsigned attempts() const { return attempts_; }
  /// Why the last attempt failed, null if none has.
  const Error* attempt_error() const { return attempt_error_ ? &*attempt_error_ : nullptr; }

  /// The pause before attempt `attempt`, counted from 0, without jitter: half a second, then twice
  /// as long each time, up to `longest`.
  static Duration pause(unsigned attempt, Duration longest);

 private:
  Duration no_limit() const { return Duration::max(); }
  std::optional<RecoveryAction> stop_queues();
  StepNext queues_stopped(const RecoveryOutcome& outcome);
  std::optional<RecoveryAction> wait();
  StepNext next(const RecoveryOutcome& outcome);
  std::optional<RecoveryAction> connect();
  StepNext connected(const RecoveryOutcome& outcome);
  std::optional<RecoveryAction> wait_for_old_commands();
  std::optional<RecoveryAction> resume();
  StepNext next_or_again(const RecoveryOutcome& outcome);
  StepNext again(const Error& error);
  Duration jittered(Duration pause);

  Duration reconnect_delay_;
  const bool is_reset_;
  std::uint64_t random_;
  unsigned attempts_ = 0;
  Instant stopped_at_{};
  Instant old_commands_end_{};
  std::optional<Error> attempt_error_;
};

}  // namespace nvublk::nvme
