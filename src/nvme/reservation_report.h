#pragma once

// Reads what Reservation Report returns. [Base 2.1 §7.8]

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/error.h"
#include "nvme/spec/reservation.h"

namespace nvublk::nvme {

/// Who has registered with a namespace, and who holds a reservation.
struct ReservationReport {
  /// A controller whose host has registered.
  struct Registrant {
    std::uint16_t cntlid = 0;               ///< FFFFh: its host is not connected
    bool holds_reservation = false;         ///< of the type of the report
    std::uint64_t key = 0;                  ///< RKEY
    std::array<std::uint8_t, 16> hostid{};  ///< 8 bytes of it, unless extended
  };
  std::uint32_t generation = 0;                               ///< counts changes of registrations
  spec::ReservationType type = spec::ReservationType::kNone;  ///< kNone: there is no reservation
  bool persistent = false;                                    ///< across power loss
  std::uint32_t registrant_count = 0;   ///< in all, of which `registrants` are those that fit
  std::vector<Registrant> registrants;  ///< in the order of the report
};

/// `data`: what was transferred, of a report that was asked for as `extended` or not. Too few bytes
/// for its head are a protocol error.
Result<ReservationReport> decode_reservation_report(std::span<const std::byte> data, bool extended);

}  // namespace nvublk::nvme
