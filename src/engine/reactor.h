#pragma once

// One thread's loop. It owns the ring, the timers and the mailbox of a shard and runs eight phases
// in a fixed order (see Reactor::turn). Shard-affine, but for post() and stop().

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "engine/counter.h"
#include "engine/counter_groups.h"
#include "engine/dma_catalog.h"
#include "engine/intrusive_list.h"
#include "engine/mailbox.h"
#include "engine/spin_policy.h"
#include "engine/timer_queue.h"
#include "engine/uring.h"

namespace nvublk {

struct PollerTag;
struct FlushTag;
struct FeedTag;
struct DeferTag;
struct QuietTag;

/// Phase 3: something whose completions appear in memory (an NVMe completion queue, a CQ of verbs).
class Poller : public ListHook<PollerTag> {
 public:
  /// Collects what has completed; returns how many. Never blocks.
  virtual unsigned poll() = 0;
  /// Arms the interrupt before the shard sleeps. False if something has arrived meanwhile.
  virtual bool arm() = 0;

 protected:
  ~Poller() = default;
};

/// Phase 5: a front-end queue that collected requests while completions ran.
class Feeder : public ListHook<FeedTag> {
 public:
  /// Hands the requests down. What asks for itself again runs in the next turn.
  virtual void feed() = 0;

 protected:
  ~Feeder() = default;
};

/// Phase 7: a queue with a doorbell to ring or PDUs to send.
class Flusher : public ListHook<FlushTag> {
 public:
  /// Sends what has gathered.
  virtual void flush() = 0;

 protected:
  ~Flusher() = default;
};

/// Phase 6: work put off to where nothing of its owner is on the stack, such as teardown.
class Deferred : public ListHook<DeferTag> {
 public:
  /// The work itself, on the reactor's thread.
  using Run = void (*)(Deferred& work, void* context);
  /// `context` is what `run` gets.
  Deferred(Run run, void* context) : run_(run), context_(context) {}

 private:
  friend class Reactor;
  Run run_;
  void* context_;
};

/// An operation that is over when the kernel has taken it, and whose success has no completion:
/// none of them ends a sleep early. Its SQE has IOSQE_CQE_SKIP_SUCCESS and never waits in the
/// kernel. `ended` runs in phase 4, as for any other.
struct QuietOp : RingOp, ListHook<QuietTag> {
  /// `result` is success_result, or a negative errno.
  using Ended = void (*)(QuietOp& op, std::int32_t result);
  /// `e` is never null.
  explicit QuietOp(Ended e);
  Ended ended;                      ///< how the operation ended
  std::int32_t success_result = 0;  ///< what `ended` gets if nothing failed
};

/// When a reactor sleeps.
enum class IdleMode : std::uint8_t {
  kBusy,       ///< never sleeps
  kAdaptive,   ///< polls for a short while after an event if the next one mostly comes in it
  kInterrupt,  ///< never polls: submits and sleeps in one call
};

/// "busy", "adaptive" or "interrupt".
const char* idle_mode_name(IdleMode mode);

/// See the top of this file.
class Reactor {
 public:
  /// How a reactor works; nothing of it changes later.
  struct Options {
    IdleMode mode = IdleMode::kAdaptive;  ///< when it sleeps
    /// Adaptive: how long after the last event to go on polling, at most, when nothing is in
    /// flight; SpinPolicy says how long when something is.
    Duration spin = microseconds(50);
    Uring::Options ring{};  ///< its io_uring
    /// In simulations: the time, which whoever turns the reactor moves; it never sleeps then. Null:
    /// the monotonic clock's.
    const Instant* simulated_time = nullptr;
  };
  /// Counts since it was made.
  struct Counters {
    std::uint64_t turns = 0;        ///< rounds of the loop
    std::uint64_t sleeps = 0;       ///< turns that waited in the kernel
    std::uint64_t completions = 0;  ///< of the ring
    std::uint64_t polled = 0;       ///< by pollers
    std::uint64_t enters = 0;       ///< calls of io_uring_enter
  };

  /// On the thread that will turn it. Fails with kUnsupported, kPermission or what else the kernel
  /// says of io_uring.
  static Result<std::unique_ptr<Reactor>> create(const Options& options);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// Turns until stop() was called.
  void run();
  /// One round of the eight phases, never from within one; sleeps in it only if `may_sleep`. It
  /// may do so although this turn has brought what the caller waits for:
  /// turn_or_wait(), turn(false) or stop() then.
  void turn(bool may_sleep);
  /// As turn(true), but sleeps only when this turn has brought nothing: for loops that wait for
  /// something.
  void turn_or_wait();
  /// Whether a turn is under way: then the caller was called by it.
  bool turning() const { return turning_; }
  /// Phase 7 at once, for those who do not want to wait for the next turn.
  void flush_now();
  /// Any thread, any number of times: makes run() return after the current turn, once what was
  /// posted before is delivered.
  void stop();

  /// For operations of the caller's own.
  Uring& ring() { return *ring_; }
  /// Memory that I/O on this shard uses for its data.
  DmaCatalog& dma_catalog() { return dma_catalog_; }
  /// Counters of what the shard's code works with; the shard adds, any thread reads.
  CounterGroups& counter_groups() { return counter_groups_; }
  /// The same, to read.
  const CounterGroups& counter_groups() const { return counter_groups_; }
  /// The time this turn began or last looked at the clock.
  Instant now() const { return now_; }
  /// The time at this moment.
  Instant clock() const {
    return options_.simulated_time != nullptr ? *options_.simulated_time : Clock::now();
  }
  /// Whether nothing is left to do before the next timer but what the kernel or others bring.
  bool settled();
  /// When the next timer is due, kNever if there is none.
  Instant next_timer() { return timers_.next_deadline(); }

  /// Has `poller` polled in phase 3 of each turn, until remove_poller().
  void add_poller(Poller& poller) { pollers_.push_back(poller); }
  /// `poller` was added.
  void remove_poller(Poller& poller) { IntrusiveList<Poller, PollerTag>::remove(poller); }
  /// Has `feeder.feed()` called in phase 5 of this turn; of the next one, in and after that phase.
  void request_feed(Feeder& feeder);
  /// Harmless if nothing was asked for.
  void cancel_feed(Feeder& feeder);
  /// Has `op`, whose SQE is prepared, ended with its `success_result` once it was submitted and no
  /// completion says otherwise. Only for who can wait for that until something else happens: the
  /// reactor may sleep over it.
  void expect_quietly(QuietOp& op) { quiet_.push_back(op); }
  /// Likewise `flusher.flush()` in phase 7, and `work` in phase 6.
  void request_flush(Flusher& flusher);
  /// Harmless if nothing was asked for.
  void cancel_flush(Flusher& flusher);
  /// See request_flush().
  void defer(Deferred& work);
  /// Whether `work` was deferred and has not run.
  bool scheduled(const Deferred& work) const {
    return IntrusiveList<Deferred, DeferTag>::contains_anywhere(work);
  }
  /// Harmless if it was not deferred.
  void cancel(Deferred& work);

  /// Fires `timer` in phase 6 of the first turn at or after `deadline`; moves it if it was armed.
  void arm(Timer& timer, Instant deadline) { timers_.arm(timer, deadline); }
  /// The same, `delay` after now().
  void arm_after(Timer& timer, Duration delay) { timers_.arm(timer, instant_after(now_, delay)); }
  /// Harmless if it was not armed.
  void cancel(Timer& timer) { timers_.cancel(timer); }

  /// Requests given to a device and not answered yet.
  void add_in_flight(unsigned count) { in_flight_ += count; }
  /// Of those that add_in_flight() counted.
  void remove_in_flight(unsigned count) { in_flight_ -= count; }
  /// How many there are; they decide how long it polls (SpinPolicy).
  unsigned in_flight() const { return in_flight_; }

  /// Any thread. The message is delivered in phase 1.
  void post(Message& message) { mailbox_.post(message); }

  /// Options::mode.
  IdleMode mode() const { return options_.mode; }
  /// Options::spin.
  Duration spin() const { return options_.spin; }
  /// Any thread; may be a moment old.
  Counters counters() const;

 private:
  struct WakeOp : RingOp {
    Reactor* reactor = nullptr;
    std::uint64_t value = 0;
  };
  struct StopMessage : Message {
    Reactor* reactor = nullptr;
  };
  static constexpr std::size_t kBatch = 512;

  explicit Reactor(const Options& options)
      : options_(options), now_(clock()), last_progress_(now_), spin_(options.spin) {}
  void arm_wake();
  unsigned reap_and_run();
  unsigned run_feeders();
  unsigned run_deferred();
  void flush_all();
  void enter(bool progress, bool may_sleep);
  bool may_sleep_now();

  Options options_;
  std::unique_ptr<Uring> ring_;
  DmaCatalog dma_catalog_;
  CounterGroups counter_groups_;
  Mailbox mailbox_;
  TimerQueue timers_;
  WakeOp wake_;
  StopMessage stop_message_;
  std::atomic<bool> stop_requested_{false};
  bool stopping_ = false;
  bool turning_ = false;
  bool awake_on_progress_ = false;
  Instant now_;
  Instant last_progress_;
  SpinPolicy spin_;
  unsigned in_flight_ = 0;
  Counter turns_;
  Counter sleeps_;
  Counter completions_;
  Counter polled_;
  std::array<Uring::Reaped, kBatch> batch_{};
  IntrusiveList<Poller, PollerTag> pollers_;
  IntrusiveList<Feeder, FeedTag> feeders_;
  IntrusiveList<Flusher, FlushTag> flushers_;
  IntrusiveList<Deferred, DeferTag> deferred_;
  IntrusiveList<QuietOp, QuietTag> quiet_;            ///< prepared
  IntrusiveList<QuietOp, QuietTag> quiet_submitted_;  ///< their completions were not seen yet
};

}  // namespace nvublk
