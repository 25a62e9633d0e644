#include "service/service_manager.h"

#ifdef NVUBLK_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

namespace nvublk::service {

void notify_service_manager([[maybe_unused]] const std::string& state) {
#ifdef NVUBLK_HAVE_SYSTEMD
  sd_notify(0, state.c_str());
#endif
}

}  // namespace nvublk::service
