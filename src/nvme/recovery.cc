#include "nvme/recovery.h"

#include <algorithm>
#include <array>

namespace nvublk::nvme {

namespace {

// Most losses are short: a target that is restarted, a link that is plugged in again.
constexpr Duration kFirstPause = milliseconds(500);

std::uint64_t next_random(std::uint64_t& state) {  // xorshift64*
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1dULL;
}

}  // namespace

Recovery::Recovery(Duration reconnect_delay, bool is_reset, std::uint64_t seed)
    : reconnect_delay_(reconnect_delay), is_reset_(is_reset), random_(seed | 1) {}

std::span<const Recovery::Row> Recovery::rows() {
  using M = Recovery;
  static constexpr std::array<Row, 5> kRows = {{
      {"stop queues", "Base 2.1 §3.3.2.4", &M::no_limit, &M::stop_queues, &M::queues_stopped},
      {"wait to reconnect", "", &M::no_limit, &M::wait, &M::next, true},
      {"reconnect", "Base 2.1 §3.5", &M::no_limit, &M::connect, &M::connected, true},
      {"wait for the old connection's commands to end", "Base 2.1 §9.6", &M::no_limit,
       &M::wait_for_old_commands, &M::next_or_again, true},
      {"resume I/O", "", &M::no_limit, &M::resume, &M::next_or_again, true},
  }};
  return kRows;
}

Duration Recovery::pause(unsigned attempt, Duration longest) {
  constexpr unsigned kMostDoublings = 30;
  const Duration wanted = kFirstPause * (1LL << std::min(attempt, kMostDoublings));
  return std::min(wanted, longest);
}

// Up to a quarter less, so that no pause is longer than the user allows.
Duration Recovery::jittered(Duration pause) {
  const std::uint64_t quarter = static_cast<std::uint64_t>(pause.count()) / 4;
  const std::uint64_t less = quarter == 0 ? 0 : next_random(random_) % quarter;
  return pause - Duration(static_cast<Duration::rep>(less));
}

std::optional<RecoveryAction> Recovery::stop_queues() {
  return RecoveryAction{RecoveryAction::Kind::kStopQueues, {}};
}

StepNext Recovery::queues_stopped(const RecoveryOutcome& outcome) {
  stopped_at_ = outcome.now;
  return StepNext::next();
}

std::optional<RecoveryAction> Recovery::wait() {
  if (is_reset_ && attempts_ == 0) {
    return std::nullopt;
  }
  const Duration delay = jittered(pause(is_reset_ ? attempts_ - 1 : attempts_, reconnect_delay_));
  return RecoveryAction{RecoveryAction::Kind::kWait, stopped_at_ + delay};
}

StepNext Recovery::next(const RecoveryOutcome&) {
  return StepNext::next();
}

std::optional<RecoveryAction> Recovery::connect() {
  attempts_++;
  return RecoveryAction{RecoveryAction::Kind::kConnect, {}};
}

StepNext Recovery::connected(const RecoveryOutcome& outcome) {
  if (outcome.failure) {
    return again(*outcome.failure);
  }
  old_commands_end_ = outcome.old_commands_end;
  return outcome.now < old_commands_end_ ? StepNext::next() : StepNext::jump(kResume);
}

std::optional<RecoveryAction> Recovery::wait_for_old_commands() {
  return RecoveryAction{RecoveryAction::Kind::kWait, old_commands_end_};
}

std::optional<RecoveryAction> Recovery::resume() {
  return RecoveryAction{RecoveryAction::Kind::kResume, {}};
}

StepNext Recovery::next_or_again(const RecoveryOutcome& outcome) {
  return outcome.failure ? again(*outcome.failure) : StepNext::next();
}

StepNext Recovery::again(const Error& error) {
  attempt_error_ = error;
  return StepNext::jump(kStop);
}

}  // namespace nvublk::nvme
