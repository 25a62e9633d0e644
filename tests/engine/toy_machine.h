#pragma once

// A small sequence with one row of each kind, for the tests of the step machine and its runner.

#include <array>
#include <optional>
#include <span>

#include "engine/step_machine.h"

namespace nvublk {

enum class ToyQuestion { kHello, kPoll, kOptional, kFinish };

struct ToyOutcome {
  int value = 0;
  std::optional<Error> failed;
  std::optional<Error> error() const { return failed; }
};

class ToyMachine : public StepMachine<ToyMachine, ToyQuestion, ToyOutcome> {
 public:
  enum : std::size_t { kHello, kPoll, kOptional, kSkipped, kFinish, kSteps };
  enum : int { kGood = 1, kJumpToFinish = 10, kStartOver, kDoneEarly, kJumpNowhere };

  std::span<const Row> rows() const { return kRows; }

  Duration limit = milliseconds(10);
  Duration poll_limit = milliseconds(100);
  Duration poll_delay = milliseconds(20);
  int polls = 0;
  bool optional_missing = false;

 private:
  Duration get_limit() const { return limit; }
  Duration get_poll_limit() const { return poll_limit; }
  std::optional<ToyQuestion> ask_hello() { return ToyQuestion::kHello; }
  std::optional<ToyQuestion> ask_poll() {
    polls++;
    return ToyQuestion::kPoll;
  }
  std::optional<ToyQuestion> ask_optional() { return ToyQuestion::kOptional; }
  std::optional<ToyQuestion> ask_nothing() { return std::nullopt; }
  std::optional<ToyQuestion> ask_finish() { return ToyQuestion::kFinish; }

  StepNext read(const ToyOutcome& outcome) {
    switch (outcome.value) {
      case kGood:
        return StepNext::next();
      case kJumpToFinish:
        return StepNext::jump(kFinish);
      case kStartOver:
        return StepNext::jump(kHello);
      case kDoneEarly:
        return StepNext::done();
      case kJumpNowhere:
        return StepNext::jump(kSteps);
      default:
        return StepNext::fail(Error::make(ErrorCode::kProtocol, "nonsense"));
    }
  }
  StepNext until_ready(const ToyOutcome& outcome) {
    return outcome.value == 0 ? StepNext::repeat(poll_delay) : read(outcome);
  }
  StepNext read_optional(const ToyOutcome& outcome) {
    optional_missing = outcome.failed.has_value();
    return optional_missing ? StepNext::next() : read(outcome);
  }

  using M = ToyMachine;
  static constexpr std::array<Row, kSteps> kRows{{
      {"hello", "Toy 1.0 §1", &M::get_limit, &M::ask_hello, &M::read},
      {"poll", "Toy 1.0 §2", &M::get_poll_limit, &M::ask_poll, &M::until_ready},
      {"optional", "Toy 1.0 §3", &M::get_limit, &M::ask_optional, &M::read_optional, true},
      {"skipped", "Toy 1.0 §4", &M::get_limit, &M::ask_nothing, &M::read},
      {"finish", "Toy 1.0 §5", &M::get_limit, &M::ask_finish, &M::read},
  }};
};

}  // namespace nvublk
