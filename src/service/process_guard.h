#pragma once

// A second process beside the daemon, for devices that everything else on the machine depends on,
// such as that of its root file system. It holds all of the program in memory and does nothing but
// wait: when the daemon dies, whose devices then answer nobody, it forks another one, which takes
// no file, and nothing of the service manager, which may itself wait for such a device.

#include <optional>
#include <string>

#include <sys/types.h>

#include "engine/error.h"
#include "engine/fd.h"
#include "engine/log.h"
#include "service/system_root.h"

namespace nvublk::service {

class ProcessGuard {
 public:
  /// Forks the process that is to be the daemon, and another one whenever that has died by a
  /// signal. Returns twice: nothing in such a process, with `ready_fd` for DaemonOptions, and in
  /// the guard, once the last of them has ended by itself, its exit status.
  ///
  /// SIGTERM, SIGINT and SIGUSR2 go on to the daemon. SIGHUP: the guard becomes the program that is
  /// installed under its name now, with the same `arguments`, while the daemon serves on; the new
  /// daemon is to take over from it.
  ///
  /// Each daemon starts in the root directory of process 1: a guard from an initial RAM disk would
  /// else stay in the empty rest of that.
  static std::optional<int> run(char** arguments, LogLevel log_level, int& ready_fd);

 private:
  ProcessGuard(char** arguments, UniqueFd signals);
  /// True in the child.
  bool start_daemon(int& ready_fd);
  /// Waits until there is something to do: another daemon, or nothing any more.
  std::optional<int> attend();
  /// The exit status when the guard is no longer needed.
  std::optional<int> reap();
  void signal_received(int signal);
  void relay_ready();
  void become_installed_program();

  char** arguments_;
  std::string program_;  ///< its path
  UniqueFd signals_;
  SystemRoot system_root_;
  UniqueFd ready_;     ///< the daemon says here that it is ready
  pid_t daemon_ = -1;  ///< the one that serves; none: it is not known which one
  bool gone_ = false;  ///< it has died
  bool ending_ = false;
};

}  // namespace nvublk::service
