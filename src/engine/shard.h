#pragma once

// A thread with a reactor. Shards share nothing; they talk by posting messages. Classes that belong
// to one shard say "Shard-affine" and check it with CHECK_ON at their public methods.

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/numa.h"
#include "engine/reactor.h"

namespace nvublk {

/// See the top of this file. One for each thread that polls.
class Shard {
 public:
  /// How the thread and its reactor are set up.
  struct Options {
    unsigned id = 0;              ///< for status and logs
    std::vector<int> cpus{};      ///< the CPUs that its thread may run on; empty: any
    int numa_node = kNoNumaNode;  ///< the memory node of those
    std::string name{};           ///< the thread's name
    Reactor::Options reactor{};   ///< when it sleeps, and its ring
  };

  /// Starts a thread that runs the reactor until the shard is destroyed.
  static Result<std::unique_ptr<Shard>> start(const Options& options);
  /// Makes the calling thread the shard's thread; the caller runs `reactor().run()` itself and
  /// destroys the shard on the same thread.
  static Result<std::unique_ptr<Shard>> adopt_current_thread(const Options& options);
  ~Shard();
  /// Ends the shard's thread, after what was posted before has run; not for an adopted thread.
  /// Shards that post to each other are all stopped before one of them is destroyed: a poster may
  /// still be about to wake the receiver of a message that has already been delivered.
  void stop();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  /// The shard of the calling thread, null if it has none.
  static Shard* current();

  /// As in its options.
  unsigned id() const { return options_.id; }
  /// The CPU that it is pinned to, -1 for none.
  int cpu() const { return options_.cpus.size() == 1 ? options_.cpus.front() : -1; }
  /// As in its options.
  int numa_node() const { return options_.numa_node; }
  /// As in its options.
  const std::string& name() const { return options_.name; }
  /// Its loop; whoever adopted the shard turns it.
  Reactor& reactor() { return *reactor_; }
  /// Whether the calling thread is its thread.
  bool is_current() const { return current() == this; }

  /// Any thread: runs `task` on this shard, after what was posted before; a task that the shard
  /// does not get to before it is destroyed is destroyed unrun. Allocates: for control paths only.
  template <typename Task>
  void post(Task task) {
    struct TaskMessage : Message {
      explicit TaskMessage(Task t) : task(std::move(t)) {}
      Task task;
    };
    auto* message = new TaskMessage(std::move(task));
    message->deliver = [](Message& delivered) {
      std::unique_ptr<TaskMessage> owned(static_cast<TaskMessage*>(&delivered));
      owned->task();
    };
    message->discard = [](Message& dropped) { delete static_cast<TaskMessage*>(&dropped); };
    reactor_->post(*message);
  }

  /// From here on this shard's thread must not allocate while `turn` runs I/O; tests count
  /// operator new on threads for which sealed() is true.
  static void seal_current_thread(bool sealed);
  /// Whether seal_current_thread(true) is in force for the calling thread.
  static bool current_thread_sealed();

 private:
  explicit Shard(Options options) : options_(std::move(options)) {}
  Status prepare_thread();

  Options options_;
  std::unique_ptr<Reactor> reactor_;
  std::thread thread_;
};

}  // namespace nvublk

/// Aborts unless the calling thread is that of `shard`.
#define CHECK_ON(shard) CHECK((shard).is_current())
