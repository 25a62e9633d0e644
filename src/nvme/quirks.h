#pragma once

// What single models of controllers do not do as the specification says, as a table: see quirks.cc.
// Only what nvublk acts on is in it. Pure.

#include <cstdint>
#include <string>

#include "nvme/spec/identify.h"
#include "nvme/transport.h"

namespace nvublk::nvme {

/// A departure from the specification, and what nvublk does about it. One bit each.
enum class Quirk : std::uint32_t {
  kSlowStart = 1u << 0,         ///< is not ready to be configured: two seconds pass first
  kSlowReady = 1u << 1,         ///< CSTS.RDY must not be read for 2.3 seconds after CC.EN changes
  kNoActiveList = 1u << 2,      ///< cannot list its namespaces: they are taken to be 1 to NN
  kNoDescriptors = 1u << 3,     ///< cannot list the identifiers of a namespace: it is not asked
  kVendorStripe = 1u << 4,      ///< has its optimal boundary in a vendor's field instead of NOIOB
  kNoWriteZeroes = 1u << 5,     ///< Write Zeroes is broken: zeroes are written
  kOneCommand = 1u << 6,        ///< cannot have more than one command in an I/O queue
  kNoShutdownStatus = 1u << 7,  ///< never reports the end of a shutdown: it is not waited for
};

/// A set of them.
class Quirks {
 public:
  constexpr Quirks() = default;
  /// A set of one.
  constexpr Quirks(Quirk quirk)  // NOLINT: a quirk is a set of one
      : bits_(static_cast<std::uint32_t>(quirk)) {}
  /// Whether `quirk` is in it.
  constexpr bool has(Quirk quirk) const { return (bits_ & static_cast<std::uint32_t>(quirk)) != 0; }
  /// Whether it has one at all.
  constexpr bool any() const { return bits_ != 0; }
  friend constexpr Quirks operator|(Quirks left, Quirks right) {
    left.bits_ |= right.bits_;
    return left;
  }
  friend constexpr bool operator==(Quirks, Quirks) = default;
  /// What nvublk does about them, for logs: "waits before it reads CSTS.RDY, ..."; empty: none.
  std::string text() const;

 private:
  std::uint32_t bits_ = 0;
};

/// The set of the two.
constexpr Quirks operator|(Quirk left, Quirk right) {
  return Quirks(left) | Quirks(right);
}

/// What is known before the controller has been asked anything.
Quirks quirks_of(const PciIds& ids);
/// What is known once it has been identified: those of its ids, and those of its vendor, model and
/// firmware, which it has over any transport.
Quirks quirks_of(const PciIds& ids, const spec::IdentifyController& identify);

}  // namespace nvublk::nvme
