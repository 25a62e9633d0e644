#pragma once

// Counters. Each is written by one worker and read by any thread.

#include <array>
#include <atomic>
#include <cstdint>

namespace nvublk::target {

/// A counter with one writer: incrementing it is no atomic read-modify-write.
class Counter {
 public:
  void add(std::uint64_t amount = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// What one worker has counted.
struct WorkerStats {
  Counter connections;  ///< accepted
  Counter closed;       ///< of those, closed
  Counter pdus_received;
  Counter pdus_sent;
  Counter bytes_received;  ///< of the sockets
  Counter bytes_sent;
  Counter receives;  ///< system calls
  Counter sends;
  Counter read_bytes;  ///< of the namespaces
  Counter written_bytes;
  Counter errors;           ///< commands that completed with an error
  Counter responses_saved;  ///< by the SUCCESS flag
  Counter terminations_sent;
  Counter terminations_received;
  Counter digest_errors;  ///< found in what hosts sent
  std::array<Counter, 256> admin_commands;
  std::array<Counter, 256> io_commands;
};

/// The sum of all workers at one moment.
struct Stats {
  std::uint64_t connections = 0;
  std::uint64_t open_connections = 0;
  std::uint64_t controllers = 0;
  std::uint64_t pdus_received = 0;
  std::uint64_t pdus_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t receives = 0;
  std::uint64_t sends = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  std::uint64_t errors = 0;
  std::uint64_t responses_saved = 0;
  std::uint64_t terminations_sent = 0;
  std::uint64_t terminations_received = 0;
  std::uint64_t digest_errors = 0;
  std::array<std::uint64_t, 256> admin_commands{};
  std::array<std::uint64_t, 256> io_commands{};

  void add(const WorkerStats& worker);
};

}  // namespace nvublk::target
