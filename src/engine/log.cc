#include "engine/log.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include <fcntl.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

namespace nvublk {

namespace {

// The journal reads a syslog priority in angle brackets at the start of a line; see sd-daemon(3).
class JournalPriority : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string_view priority = message.level == spdlog::level::debug  ? "<7>"
                                      : message.level == spdlog::level::info ? "<6>"
                                      : message.level == spdlog::level::warn ? "<4>"
                                                                             : "<3>";
    out.append(priority.data(), priority.data() + priority.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JournalPriority>();
  }
};

// systemd sets JOURNAL_STREAM to the device and inode of the stream; it is ours only if stderr
// still is that stream.
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status{};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0) {
    return false;
  }
  return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) == stream;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto made = std::make_shared<spdlog::logger>("nvublk", sink);
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    if (stderr_is_journal()) {
      // The journal's files may be on a device of ours: it shall never keep us waiting. What it
      // does not take then is lost.
      ::fcntl(STDERR_FILENO, F_SETFL, ::fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
      formatter->add_flag<JournalPriority>('*').set_pattern("%*%v");
    } else {
      formatter->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    }
    made->set_formatter(std::move(formatter));
    made->set_level(spdlog::level::info);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void set_log_level(LogLevel level) {
  logger().set_level(level_of(level));
}

LogLevel log_level() {
  switch (logger().level()) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return LogLevel::kDebug;
    case spdlog::level::info:
      return LogLevel::kInfo;
    case spdlog::level::warn:
      return LogLevel::kWarning;
    case spdlog::level::err:
    case spdlog::level::critical:
    case spdlog::level::off:
    case spdlog::level::n_levels:
      return LogLevel::kError;
  }
  return LogLevel::kError;
}

void log_message(LogLevel level, std::string_view subsystem, std::string_view text) {
  logger().log(level_of(level), "{}: {}", subsystem, text);
}

bool LogLimiter::allow(Instant now) {
  if (began_ == Instant::min() || now - began_ >= interval_) {
    began_ = now;
    used_ = 0;
  }
  if (used_ < burst_) {
    used_++;
    return true;
  }
  suppressed_++;
  return false;
}

std::uint64_t LogLimiter::take_suppressed() {
  return std::exchange(suppressed_, 0);
}

}  // namespace nvublk
