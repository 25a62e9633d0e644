#pragma once

// "nvublk pci": the NVMe drives of this machine, without the daemon.

#include <string>
#include <vector>

namespace nvublk::service {

/// Runs `words`, those after "pci"; returns the exit status as run_command() does.
int run_pci_command(std::vector<std::string> words);

}  // namespace nvublk::service
