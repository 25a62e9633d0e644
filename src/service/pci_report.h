#pragma once

// "nvublk pci list": the NVMe drives of this machine, and who has them.

#include <string>

#include "service/json.h"

namespace nvublk::service {

/// {"devices": [...]}, an object for each drive. `controllers` are those of a daemon's status, or
/// an empty list: the model and the serial of a drive that it has, and its devices, are known to it
/// alone. May block for a moment.
Json pci_report(const Json& controllers);
/// The same as a table with a line for each drive.
std::string pci_text(const Json& report);

}  // namespace nvublk::service
