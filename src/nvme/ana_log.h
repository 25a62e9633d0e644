#pragma once

// Reads the ANA log. What comes in is a device's: counts and lengths are checked here, once.
// [Base 2.1 §5.1.12.1.13]

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/error.h"
#include "nvme/spec/log_pages.h"

namespace nvublk::nvme {

/// Namespaces whose access state changes together. [Base 2.1 §5.1.12.1.13]
struct AnaGroup {
  std::uint32_t id = 0;                               ///< ANAGRPID
  std::uint64_t change_count = 0;                     ///< grows with each change of the group
  spec::AnaState state = spec::AnaState::kOptimized;  ///< of all its namespaces
  std::vector<std::uint32_t> nsids;                   ///< in ascending order
};

/// "optimized", "non-optimized", "inaccessible", "persistent-loss" or "change"; "unknown" for what
/// the specification does not have.
const char* ana_state_name(spec::AnaState state);

/// The groups of a log that begins with `data`; fails when a group reaches beyond it.
Result<std::vector<AnaGroup>> decode_ana_log(std::span<const std::byte> data);

}  // namespace nvublk::nvme
