#include "engine/timer_queue.h"

namespace nvublk {

void TimerQueue::arm(Timer& timer, Instant deadline) {
  cancel(timer);
  timer.deadline_ = deadline;
  for (Timer& other : timers_) {
    if (other.deadline_ > deadline) {
      timers_.insert_before(other, timer);
      return;
    }
  }
  timers_.push_back(timer);
}

void TimerQueue::cancel(Timer& timer) {
  if (timer.armed()) {
    IntrusiveList<Timer, TimerTag>::remove(timer);
  }
}

unsigned TimerQueue::fire(Instant now) {
  // Only what is due now: a timer that is armed meanwhile, even for the past, waits for the next
  // call, so that a timer which arms itself again cannot hold the loop.
  IntrusiveList<Timer, TimerTag> due;
  while (!timers_.empty() && timers_.front().deadline_ <= now) {
    due.push_back(timers_.pop_front());
  }
  unsigned fired = 0;
  while (!due.empty()) {
    Timer& timer = due.pop_front();
    fired++;
    timer.fire_(timer, timer.context_);
  }
  return fired;
}

Instant TimerQueue::next_deadline() {
  return timers_.empty() ? kNever : timers_.front().deadline_;
}

}  // namespace nvublk
