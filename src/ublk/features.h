#pragma once

// What the ublk driver of the running kernel offers.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace nvublk::ublk {

/// A set of ublk feature flags.
struct Features {
  std::uint64_t bits = 0;

  bool has(std::uint64_t flags) const { return (bits & flags) == flags; }
  /// The kernel's names without UBLK_F_, such as "USER_RECOVERY", lowest bit first; "BIT_63" for a
  /// flag that is newer than this program.
  std::vector<std::string> names() const;
};

/// The kernel's name of the flag with this bit number, empty if it has none that we know.
std::string_view feature_name(unsigned bit);

/// Asks the driver, after loading it if it is not there. The error says why ublk cannot be used
/// here. Blocks for a moment (up to ten seconds if the driver must be loaded); any thread.
Result<Features> probe_features();

}  // namespace nvublk::ublk
