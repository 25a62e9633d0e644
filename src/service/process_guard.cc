#include "service/process_guard.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/time.h"
#include "service/process_setup.h"
#include "service/service_manager.h"

namespace nvublk::service {

namespace {

constexpr char kSubsystem[] = "guard";
/// Between the death of a daemon and the next one.
constexpr milliseconds kRestartDelay{500};

void set_child_signal(int how) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  ::sigprocmask(how, &child, nullptr);
}

int exit_status_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::optional<int> ProcessGuard::run(char** arguments, LogLevel log_level, int& ready_fd) {
  set_log_level(log_level);
  sigset_t watched = block_signals();
  sigaddset(&watched, SIGCHLD);
  set_child_signal(SIG_BLOCK);
  prepare_process();
  UniqueFd signals(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) {
    log_error(kSubsystem, std::string("signalfd: ") + std::strerror(errno));
    return 1;
  }
  ProcessGuard guard(arguments, std::move(signals));
  while (true) {
    if (guard.start_daemon(ready_fd)) {
      return std::nullopt;
    }
    if (const std::optional<int> status = guard.attend()) {
      return status;
    }
    pollfd signal{guard.signals_.get(), POLLIN, 0};
    ::poll(&signal, 1, static_cast<int>(kRestartDelay.count()));
  }
}

// AT_EXECFN [getauxval(3)]: arguments_[0] may be any name. It is an address.
ProcessGuard::ProcessGuard(char** arguments, UniqueFd signals)
    : arguments_(arguments),
      program_(reinterpret_cast<const char*>(  // NOLINT(performance-no-int-to-ptr)
          ::getauxval(AT_EXECFN))),
      signals_(std::move(signals)) {}

bool ProcessGuard::start_daemon(int& ready_fd) {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    log_warning(kSubsystem, std::string("pipe: ") + std::strerror(errno));
  }
  ready_.reset(ends[0]);
  UniqueFd writer(ends[1]);
  daemon_ = ::fork();
  if (daemon_ == 0) {
    ready_.reset();
    signals_.reset();
    set_child_signal(SIG_UNBLOCK);
    ::unsetenv("NOTIFY_SOCKET");  // the guard is the service's main process, and tells
    system_root_.enter();
    ready_fd = writer.release();
    return true;
  }
  gone_ = daemon_ < 0;
  if (gone_) {
    log_error(kSubsystem, std::string("cannot start the daemon: ") + std::strerror(errno));
  }
  return false;
}

std::optional<int> ProcessGuard::attend() {
  while (!gone_) {
    std::array<pollfd, 2> files{{{signals_.get(), POLLIN, 0}, {ready_.get(), POLLIN, 0}}};
    ::poll(files.data(), files.size(), -1);
    if (files[1].revents != 0) {
      relay_ready();
    }
    signalfd_siginfo signal{};
    while (::read(signals_.get(), &signal, sizeof(signal)) == ssize_t{sizeof(signal)}) {
      if (signal.ssi_signo != SIGCHLD) {
        signal_received(static_cast<int>(signal.ssi_signo));
      } else if (const std::optional<int> status = reap()) {
        return status;
      }
    }
  }
  return std::nullopt;
}

std::optional<int> ProcessGuard::reap() {
  int status = 0;
  std::optional<int> ended;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    const bool serves = pid == daemon_ || daemon_ < 0;
    if (serves && WIFSIGNALED(status) && !ending_) {
      log_error(kSubsystem, std::string("the daemon has died: ") + ::strsignal(WTERMSIG(status)) +
                                "; starting another one");
      gone_ = true;
      return std::nullopt;
    }
    // One that has handed over, or one that could not take over: then the one before it goes on.
    daemon_ = serves ? -1 : daemon_;
    ended = exit_status_of(status);
  }
  return pid < 0 ? ended : std::nullopt;
}

void ProcessGuard::signal_received(int signal) {
  if (signal == SIGHUP) {
    become_installed_program();
    return;
  }
  ending_ = true;
  if (daemon_ > 0) {
    ::kill(daemon_, signal);
  }
}

void ProcessGuard::relay_ready() {
  std::array<char, 8> text{};
  const ssize_t length = ::read(ready_.get(), text.data(), text.size());
  if (length > 0 && std::string_view(text.data(), static_cast<std::size_t>(length)) == "ready\n") {
    notify_service_manager("READY=1");
  }
  ready_.reset();
}

void ProcessGuard::become_installed_program() {
  log_info(kSubsystem, "received SIGHUP: becoming " + program_ + " as it is now");
  system_root_.enter();
  ::execv(program_.c_str(), arguments_);
  log_error(kSubsystem, program_ + ": " + std::strerror(errno) + "; the daemon stays");
}

}  // namespace nvublk::service
