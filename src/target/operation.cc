#include "target/operation.h"

#include <algorithm>
#include <utility>

namespace nvublk::target {

using std::chrono::milliseconds;

void Operation::begin(const Background& background, Work work) {
  auto run = std::make_shared<Run>();
  run->background = background;
  run->work = std::move(work);
  run->started = Clock::now();
  {
    const std::lock_guard lock(mutex_);
    run_ = run;
  }
  if (run->work.after_commands) {
    background.after_commands([this, run] { step(run); });
  } else {
    post(run, milliseconds(0));
  }
}

void Operation::cancel() {
  const std::lock_guard lock(mutex_);
  run_.reset();
}

void Operation::hurry() {
  std::shared_ptr<Run> run;
  {
    const std::lock_guard lock(mutex_);
    run = run_;
  }
  if (run == nullptr || run->hurried.exchange(true)) return;
  // It may be asleep until its time has come. If it is not, one of the two steps finds nothing.
  if (run->next >= run->work.pieces) post(run, milliseconds(0));
}

std::uint32_t Operation::progress(std::uint32_t whole) const {
  const std::lock_guard lock(mutex_);
  if (run_ == nullptr) return 0;
  const Work& work = run_->work;
  double part = work.pieces == 0
                    ? 1.0
                    : static_cast<double>(run_->next.load()) / static_cast<double>(work.pieces);
  if (work.least.count() != 0 && !run_->hurried) {
    const std::chrono::duration<double, std::milli> spent = Clock::now() - run_->started;
    part = std::min(part, spent.count() / static_cast<double>(work.least.count()));
  }
  return std::min(static_cast<std::uint32_t>(part * whole), whole - 1);
}

bool Operation::is_current(const std::shared_ptr<Run>& run) const {
  const std::lock_guard lock(mutex_);
  return run_ == run;
}

void Operation::post(const std::shared_ptr<Run>& run, milliseconds delay) {
  run->background.later(delay, [this, run] { step(run); });
}

// Each step asks for the next one, so pieces never overlap.
void Operation::step(const std::shared_ptr<Run>& run) {
  if (!is_current(run)) return;
  const Work& work = run->work;
  if (const std::uint64_t index = run->next; index < work.pieces) {
    const bool good = work.piece(index);
    run->next = index + 1;
    if (good) {
      post(run, milliseconds(0));
    } else {
      end(run, false);
    }
    return;
  }
  const auto left = std::chrono::ceil<milliseconds>(run->started + work.least - Clock::now());
  if (left.count() > 0 && !run->hurried) {
    post(run, left);
  } else {
    end(run, true);
  }
}

void Operation::end(const std::shared_ptr<Run>& run, bool good) {
  {
    const std::lock_guard lock(mutex_);
    if (run_ != run) return;
    run_.reset();
  }
  run->work.done(good);
}

}  // namespace nvublk::target
