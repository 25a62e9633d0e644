#include "engine/reactor.h"

#include <algorithm>

#include <sched.h>

#include "engine/check.h"

namespace nvublk {

namespace {

// Runs what is on `list` now. What is put there meanwhile waits for the next turn: work that asks
// for itself again must not hold the loop.
template <typename List, typename Run>
unsigned run_all(List& list, Run run) {
  List ready;
  ready.splice_front(list);
  unsigned count = 0;
  while (!ready.empty()) {
    run(ready.pop_front());
    count++;
  }
  return count;
}

}  // namespace

QuietOp::QuietOp(Ended e) : ended(e) {
  complete = [](RingOp& failed, std::int32_t result, std::uint32_t) {
    auto& op = static_cast<QuietOp&>(failed);
    IntrusiveList<QuietOp, QuietTag>::remove(op);
    op.ended(op, result);
  };
}

const char* idle_mode_name(IdleMode mode) {
  switch (mode) {
    case IdleMode::kBusy:
      return "busy";
    case IdleMode::kAdaptive:
      return "adaptive";
    case IdleMode::kInterrupt:
      return "interrupt";
  }
  return "unknown";
}

Result<std::unique_ptr<Reactor>> Reactor::create(const Options& options) {
  std::unique_ptr<Reactor> reactor(new Reactor(options));
  auto ring = Uring::create(options.ring);
  if (!ring) {
    return std::unexpected(std::move(ring.error()));
  }
  reactor->ring_ = std::move(*ring);
  reactor->wake_.reactor = reactor.get();
  reactor->wake_.complete = [](RingOp& op, std::int32_t, std::uint32_t) {
    static_cast<WakeOp&>(op).reactor->arm_wake();
  };
  reactor->stop_message_.reactor = reactor.get();
  reactor->stop_message_.deliver = [](Message& message) {
    static_cast<StopMessage&>(message).reactor->stopping_ = true;
  };
  reactor->arm_wake();
  return reactor;
}

Reactor::~Reactor() {
  ring_.reset();
}

void Reactor::arm_wake() {
  io_uring_sqe* sqe = ring_->prepare(wake_);
  io_uring_prep_read(sqe, mailbox_.wake_fd(), &wake_.value, sizeof(wake_.value), 0);
  io_uring_sqe_set_data(sqe, &wake_);
}

void Reactor::run() {
  while (!stopping_) {
    turn(true);
  }
}

void Reactor::stop() {
  if (!stop_requested_.exchange(true)) {
    mailbox_.post(stop_message_);
  }
}

void Reactor::turn(bool may_sleep) {
  CHECK(!turning_);
  turning_ = true;
  turns_.add();
  now_ = clock();
  spin_.after_sleep(now_ - last_progress_);
  unsigned progress = 0;
  // 1 mailbox
  progress += mailbox_.deliver();
  // 2 reap io_uring into a batch; 3 poll NVMe completion queues; 4 run completions
  progress += reap_and_run();
  // 5 hand new front-end requests down
  progress += run_feeders();
  // 6 timers and teardown
  progress += timers_.fire(now_);
  progress += run_deferred();
  // 7 ring doorbells once per queue
  flush_all();
  // 7 one io_uring_enter for everything, which 8 (idle policy) lets sleep or not
  enter(progress > 0, may_sleep && !stopping_);
  turning_ = false;
}

void Reactor::turn_or_wait() {
  awake_on_progress_ = true;
  turn(true);
  awake_on_progress_ = false;
}

void Reactor::flush_now() {
  flush_all();
  if (ring_->has_work()) {
    ring_->enter(Uring::kDoNotWait);
  }
}

unsigned Reactor::reap_and_run() {
  // Before completions prepare more of them.
  if (ring_->all_submitted()) {
    quiet_submitted_.splice_front(quiet_);
  }
  const std::span<Uring::Reaped> batch = ring_->reap(batch_);
  unsigned progress = 0;
  for (auto poller = pollers_.begin(); poller != pollers_.end();) {
    Poller& current = *poller;
    ++poller;
    progress += current.poll();
  }
  polled_.add(progress);
  for (const Uring::Reaped& reaped : batch) {
    reaped.op->complete(*reaped.op, reaped.result, reaped.flags);
  }
  completions_.add(batch.size());
  progress += static_cast<unsigned>(batch.size());
  // A failure says so by the end of its submission: it was in this batch, if that was all.
  if (batch.size() < batch_.size() && !ring_->overflown()) {
    progress += run_all(quiet_submitted_, [](QuietOp& op) { op.ended(op, op.success_result); });
  }
  return progress;
}

unsigned Reactor::run_feeders() {
  return run_all(feeders_, [](Feeder& feeder) { feeder.feed(); });
}

unsigned Reactor::run_deferred() {
  return run_all(deferred_, [](Deferred& work) { work.run_(work, work.context_); });
}

void Reactor::flush_all() {
  run_all(flushers_, [](Flusher& flusher) { flusher.flush(); });
}

bool Reactor::settled() {
  return feeders_.empty() && flushers_.empty() && deferred_.empty() && mailbox_.empty();
}

bool Reactor::may_sleep_now() {
  if (!feeders_.empty() || !flushers_.empty() || !deferred_.empty()) {
    return false;
  }
  if (options_.mode == IdleMode::kBusy || options_.simulated_time != nullptr) {
    return false;
  }
  if (options_.mode == IdleMode::kAdaptive && spin_.spin(now_ - last_progress_, in_flight_)) {
    return false;
  }
  // Progress in this turn is no reason to stay awake: what is prepared leaves in the same
  // io_uring_enter that sleeps, and completions that are there already make it return at once.
  for (Poller& poller : pollers_) {
    if (!poller.arm()) {
      return false;
    }
  }
  return mailbox_.prepare_sleep();
}

void Reactor::enter(bool progress, bool may_sleep) {
  if (progress) {
    last_progress_ = now_;
  }
  if (may_sleep && !(progress && awake_on_progress_) && may_sleep_now()) {
    sleeps_.add();
    spin_.before_sleep(in_flight_);
    ring_->enter(timers_.next_deadline());
    mailbox_.awake();
    return;
  }
  if (ring_->has_work()) {
    ring_->enter(Uring::kDoNotWait);
  } else if (may_sleep && !progress && options_.mode == IdleMode::kAdaptive) {
    sched_yield();  // what is polled for may come from a thread that waits for this CPU
  }
}

void Reactor::request_feed(Feeder& feeder) {
  if (!IntrusiveList<Feeder, FeedTag>::contains_anywhere(feeder)) {
    feeders_.push_back(feeder);
  }
}

void Reactor::cancel_feed(Feeder& feeder) {
  if (IntrusiveList<Feeder, FeedTag>::contains_anywhere(feeder)) {
    IntrusiveList<Feeder, FeedTag>::remove(feeder);
  }
}

void Reactor::request_flush(Flusher& flusher) {
  if (!IntrusiveList<Flusher, FlushTag>::contains_anywhere(flusher)) {
    flushers_.push_back(flusher);
  }
}

void Reactor::cancel_flush(Flusher& flusher) {
  if (IntrusiveList<Flusher, FlushTag>::contains_anywhere(flusher)) {
    IntrusiveList<Flusher, FlushTag>::remove(flusher);
  }
}

void Reactor::defer(Deferred& work) {
  if (!IntrusiveList<Deferred, DeferTag>::contains_anywhere(work)) {
    deferred_.push_back(work);
  }
}

void Reactor::cancel(Deferred& work) {
  if (IntrusiveList<Deferred, DeferTag>::contains_anywhere(work)) {
    IntrusiveList<Deferred, DeferTag>::remove(work);
  }
}

Reactor::Counters Reactor::counters() const {
  return Counters{.turns = turns_.get(),
                  .sleeps = sleeps_.get(),
                  .completions = completions_.get(),
                  .polled = polled_.get(),
                  .enters = ring_->enters()};
}

}  // namespace nvublk
