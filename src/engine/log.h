#pragma once

// The log: to stderr, or to the journal with its priorities when systemd runs us. Any thread.
// Control paths format freely; data paths call through a LogLimiter.

#include <cstdint>
#include <string_view>

#include "engine/time.h"

namespace nvublk {

/// How much a message matters; what is below the level that is set is not written.
enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

/// Sets the level below which nothing is written; kInfo unless told.
void set_log_level(LogLevel level);
/// The level that is set.
LogLevel log_level();

/// Writes "SUBSYSTEM: text".
void log_message(LogLevel level, std::string_view subsystem, std::string_view text);

/// What only a developer wants to know.
inline void log_debug(std::string_view subsystem, std::string_view text) {
  log_message(LogLevel::kDebug, subsystem, text);
}
/// What an administrator may want to know.
inline void log_info(std::string_view subsystem, std::string_view text) {
  log_message(LogLevel::kInfo, subsystem, text);
}
/// What is not as it should be, and was dealt with.
inline void log_warning(std::string_view subsystem, std::string_view text) {
  log_message(LogLevel::kWarning, subsystem, text);
}
/// What failed.
inline void log_error(std::string_view subsystem, std::string_view text) {
  log_message(LogLevel::kError, subsystem, text);
}

/// Lets `burst` messages through per interval and counts the rest. Shard-affine.
class LogLimiter {
 public:
  /// At most `burst` messages in each `interval`.
  explicit LogLimiter(unsigned burst = 5, Duration interval = seconds(10))
      : burst_(burst), interval_(interval) {}
  /// Whether a message may be written at `now`.
  bool allow(Instant now);
  /// How many were held back since the last one that was let through; resets the count.
  std::uint64_t take_suppressed();

 private:
  unsigned burst_;
  Duration interval_;
  unsigned used_ = 0;
  Instant began_ = Instant::min();
  std::uint64_t suppressed_ = 0;
};

}  // namespace nvublk
