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
  unsigned fired = 0;
  while (!timers_.empty() && timers_.front().deadline_ <= now) {
    Timer& timer = timers_.pop_front();
    fired++;
    timer.fire_(timer, timer.context_);
  }
  return fired;
}

Instant TimerQueue::next_deadline() {
  return timers_.empty() ? kNever : timers_.front().deadline_;
}

}  // namespace nvublk
