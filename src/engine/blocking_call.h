#pragma once

// For the few system calls that may block for long (mount, modprobe, configuring a block device
// whose I/O we serve ourselves): a short-lived thread makes the call and its result comes back to
// the shard that asked. Control paths only.

#include <functional>
#include <thread>
#include <type_traits>
#include <utility>

#include "engine/shard.h"

namespace nvublk {

/// One call at a time. Shard-affine, to `owner`.
class BlockingCall {
 public:
  explicit BlockingCall(Shard& owner) : owner_(owner) {}
  /// Not while a call runs: its result would have nowhere to go.
  ~BlockingCall();
  BlockingCall(const BlockingCall&) = delete;
  BlockingCall& operator=(const BlockingCall&) = delete;

  /// Runs `work()` on a thread of its own, then `done(result)` on the owner. `work` takes what it
  /// needs by value.
  template <typename Work, typename Done>
  void start(Work work, Done done) {
    using Outcome = std::invoke_result_t<Work>;
    run([this, work = std::move(work), done = std::move(done)]() mutable {
      owner_.post([this, done = std::move(done), outcome = Outcome(work())]() mutable {
        finish();
        done(std::move(outcome));
      });
    });
  }
  bool busy() const { return thread_.joinable(); }
  /// Blocks until the thread has ended: the result is on its way then, and does not need it any
  /// more.
  void wait();

 private:
  void run(std::move_only_function<void()> body);
  void finish();

  Shard& owner_;
  std::thread thread_;
};

}  // namespace nvublk
