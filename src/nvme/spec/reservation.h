#pragma once

// What reservation commands carry. [Base 2.1 §7.5, §7.6, §7.7, §7.8, §8.1.22]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"

namespace nvublk::nvme::spec {

/// RTYPE. [Base 2.1 §8.1.22]
enum class ReservationType : std::uint8_t {
  kNone = 0,
  kWriteExclusive = 1,
  kExclusiveAccess = 2,
  kWriteExclusiveRegistrants = 3,
  kExclusiveAccessRegistrants = 4,
  kWriteExclusiveAllRegistrants = 5,
  kExclusiveAccessAllRegistrants = 6,
};
/// Every registrant holds a reservation of these types.
constexpr bool all_registrants(ReservationType type) {
  return type == ReservationType::kWriteExclusiveAllRegistrants ||
         type == ReservationType::kExclusiveAccessAllRegistrants;
}

/// RREGA of Reservation Register. [Base 2.1 §7.6]
enum class RegisterAction : std::uint8_t { kRegister = 0, kUnregister = 1, kReplace = 2 };
/// CPTPL of Reservation Register: what becomes of registrations with power. [Base 2.1 §7.6]
enum class PersistThroughPowerLoss : std::uint8_t { kUnchanged = 0, kClear = 2, kSet = 3 };
/// RACQA of Reservation Acquire. [Base 2.1 §7.5]
enum class AcquireAction : std::uint8_t { kAcquire = 0, kPreempt = 1, kPreemptAndAbort = 2 };
/// RRELA of Reservation Release. [Base 2.1 §7.7]
enum class ReleaseAction : std::uint8_t { kRelease = 0, kClear = 1 };

/// The data of Reservation Register and Reservation Acquire. [Base 2.1 §7.5, §7.6]
struct ReservationKeys {
  Le64 current;  ///< CRKEY
  Le64 other;    ///< the new key, or the key to preempt
};

/// The head of a report; descriptors follow: at byte 24, or at byte 64 when they are extended.
/// [Base 2.1 §7.8]
struct ReservationStatus {
  Le32 gen;                ///< counts changes of registrations
  std::uint8_t rtype = 0;  ///< a ReservationType
  Le16 regctl;             ///< registrants, whose descriptors follow
  std::array<std::uint8_t, 2> reserved7{};
  std::uint8_t ptpls = 0;  ///< 1: registrations outlive the loss of power
  std::array<std::uint8_t, 14> reserved10{};
};
/// Of the head, where descriptors are extended.
inline constexpr std::size_t kReservationStatusExtendedBytes = 64;

/// RCSTS bit 0.
inline constexpr std::uint8_t kHoldsReservation = 1;

/// A registrant's controller, with a 64-bit host identifier. [Base 2.1 §7.8]
struct RegisteredController {
  Le16 cntlid;             ///< FFFFh: its host is not connected
  std::uint8_t rcsts = 0;  ///< status; see kHoldsReservation
  std::array<std::uint8_t, 5> reserved3{};
  Le64 hostid;  ///< 64 bits of HOSTID
  Le64 rkey;    ///< its key
};

/// The same with a 128-bit host identifier. [Base 2.1 §7.8]
struct RegisteredControllerExtended {
  Le16 cntlid;             ///< FFFFh: its host is not connected
  std::uint8_t rcsts = 0;  ///< status; see kHoldsReservation
  std::array<std::uint8_t, 5> reserved3{};
  Le64 rkey;                              ///< its key
  std::array<std::uint8_t, 16> hostid{};  ///< HOSTID
  std::array<std::uint8_t, 32> reserved32{};
};

static_assert(sizeof(ReservationKeys) == 16);
static_assert(sizeof(ReservationStatus) == 24);
static_assert(offsetof(ReservationStatus, regctl) == 5 && offsetof(ReservationStatus, ptpls) == 9);
static_assert(sizeof(RegisteredController) == 24);
static_assert(offsetof(RegisteredController, hostid) == 8);
static_assert(sizeof(RegisteredControllerExtended) == 64);
static_assert(offsetof(RegisteredControllerExtended, rkey) == 8);
static_assert(offsetof(RegisteredControllerExtended, hostid) == 16);
static_assert(std::is_trivially_copyable_v<RegisteredControllerExtended>);

}  // namespace nvublk::nvme::spec
