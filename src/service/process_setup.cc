#include "service/process_setup.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "engine/log.h"

namespace nvublk::service {

namespace {

// PR_SET_IO_FLUSHER [prctl(2)]: since Linux 5.6.
constexpr int kPrSetIoFlusher = 57;

void lived_without(const std::string& what, int error) {
  log_debug("service", what + ": " + std::strerror(error));
}

void not_safe(const std::string& what, int error) {
  log_warning("service", what + ": " + std::strerror(error) +
                             "; when memory is short, the daemon may wait for its own devices");
}

void raise_limit(__rlimit_resource_t resource, const char* name) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) {
    return;
  }
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  if (resource == RLIMIT_MEMLOCK && ::setrlimit(resource, &unlimited) == 0) {
    return;
  }
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(resource, &limit) != 0) {
    lived_without(std::string("cannot raise ") + name, errno);
  }
}

}  // namespace

sigset_t block_signals() {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGINT);
  sigaddset(&watched, SIGHUP);
  sigaddset(&watched, SIGUSR2);
  sigset_t blocked = watched;
  sigaddset(&blocked, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  return watched;
}

void prepare_process() {
  raise_limit(RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK");
  raise_limit(RLIMIT_NOFILE, "RLIMIT_NOFILE");
  // Memory reclaim must not wait for writes to the devices that we serve, nor our code for a page
  // that was swapped out to one of them.
  if (::prctl(kPrSetIoFlusher, 1UL, 0UL, 0UL, 0UL) != 0) {
    not_safe("PR_SET_IO_FLUSHER", errno);
  }
  // What is mapped now, all code among it, is read at once: later it might have to come from a file
  // system on our devices. Later mappings as they are used, or most of it would be unused stacks.
  if (::mlockall(MCL_CURRENT) != 0 || ::mlockall(MCL_FUTURE | MCL_ONFAULT) != 0) {
    not_safe("mlockall", errno);
  }
  std::ofstream("/proc/self/oom_score_adj") << "-900";
}

}  // namespace nvublk::service
