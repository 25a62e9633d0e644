#pragma once

// A thread with an epoll loop, timers and a mailbox. Connections live on one worker each.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/error.h"
#include "target/namespace.h"
#include "target/stats.h"

namespace nvublk::target {

class Connection;

/// Something that waits for events of a file descriptor.
class Pollable {
 public:
  virtual ~Pollable() = default;
  virtual void on_ready(std::uint32_t events) = 0;
};

/// Worker-affine but for post(), stop() and the statistics.
class Worker {
 public:
  using Clock = std::chrono::steady_clock;
  using Task = std::function<void()>;
  using TimerId = std::uint64_t;

  explicit Worker(const NamespaceTable& namespaces) : namespaces_(namespaces) {}
  ~Worker();

  Status start();
  /// Ends the loop and closes all connections; returns when the thread has ended.
  void stop();
  /// Runs `task` on the worker soon; dropped when the worker stops first. Thread-safe.
  void post(Task task);

  Status watch(int fd, std::uint32_t events, Pollable* pollable);
  void rewatch(int fd, std::uint32_t events, Pollable* pollable);
  void unwatch(int fd);
  TimerId after(std::chrono::milliseconds delay, Task task);
  void cancel(TimerId id);

  void adopt(std::shared_ptr<Connection> connection);
  /// Forgets a connection, once nothing on the stack uses it.
  void release(Connection& connection);
  /// Calls `visit` for every open connection.
  void for_each_connection(const std::function<void(Connection&)>& visit);

  NamespaceCache& namespaces() { return namespaces_; }
  WorkerStats& stats() { return stats_; }

 private:
  struct Timer {
    TimerId id = 0;
    Task task;
  };

  void run();
  void run_mailbox();
  void run_timers();
  int timeout_ms() const;

  NamespaceCache namespaces_;
  WorkerStats stats_;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_{false};

  std::mutex mailbox_mutex_;
  std::vector<Task> mailbox_;  // by mailbox_mutex_

  std::multimap<Clock::time_point, Timer> timers_;
  TimerId next_timer_ = 1;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
  std::vector<std::shared_ptr<Connection>> released_;
};

}  // namespace nvublk::target
