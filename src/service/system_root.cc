#include "service/system_root.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "engine/log.h"

namespace nvublk::service {

SystemRoot::SystemRoot() : process_1_(::open("/proc/1", O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

void SystemRoot::enter() const {
  const UniqueFd root(::openat(process_1_.get(), "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root || ::fchdir(root.get()) != 0 || ::chroot(".") != 0) {
    log_warning("service", std::string("cannot enter the root directory of process 1: ") +
                               std::strerror(errno));
  }
}

}  // namespace nvublk::service
