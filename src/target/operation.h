#pragma once

// Work that goes on while commands are served, such as a sanitize operation: in small pieces on a
// worker, between its events.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

namespace nvublk::target {

/// How an operation gets onto the workers. Both may be called from any thread; what is given to
/// them is dropped when the workers stop first.
struct Background {
  using Task = std::function<void()>;
  /// Runs a task on a worker, after this delay.
  std::function<void(std::chrono::milliseconds delay, Task task)> later;
  /// Runs a task once every worker has ended what it was executing.
  std::function<void(Task task)> after_commands;
};

/// Thread-safe; one at a time.
class Operation {
 public:
  using Clock = std::chrono::steady_clock;
  struct Work {
    std::uint64_t pieces = 0;
    std::function<bool(std::uint64_t index)> piece;  ///< whether it went well; a failure is the end
    std::function<void(bool good)> done;             ///< once, unless it is cancelled
    std::chrono::milliseconds least{0};              ///< it is not done sooner
    bool after_commands = false;  ///< the first piece waits for commands that are being executed
  };

  /// Begins it, on the workers; what was there before is cancelled.
  void begin(const Background& background, Work work);
  /// Ends it without a word. A piece may still be being carried out.
  void cancel();
  /// Has it take no longer than its work does.
  void hurry();
  /// How much is done, in parts of `whole`; always less than `whole`.
  std::uint32_t progress(std::uint32_t whole) const;

 private:
  struct Run {
    Background background;
    Work work;
    Clock::time_point started;
    std::atomic<std::uint64_t> next{0};
    std::atomic<bool> hurried{false};
  };
  bool is_current(const std::shared_ptr<Run>& run) const;
  void step(const std::shared_ptr<Run>& run);
  void end(const std::shared_ptr<Run>& run, bool good);
  void post(const std::shared_ptr<Run>& run, std::chrono::milliseconds delay);

  mutable std::mutex mutex_;
  std::shared_ptr<Run> run_;  // by mutex_
};

}  // namespace nvublk::target
