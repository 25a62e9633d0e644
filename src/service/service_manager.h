#pragma once

// The service manager that started us, if one did: sd_notify(3).

#include <string>

namespace nvublk::service {

/// Tells systemd, such as "READY=1"; nothing happens when it did not start us, or in builds without
/// libsystemd.
void notify_service_manager(const std::string& state);

}  // namespace nvublk::service
