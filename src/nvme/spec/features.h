#pragma once

// Features, as Get Features and Set Features carry them. [Base 2.1 §5.1.25]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"

namespace nvublk::nvme::spec {

/// Feature Identifier. [Base 2.1 §5.1.25] [NVM 1.1 §4.1.3]
enum class FeatureId : std::uint8_t {
  kArbitration = 0x01,
  kPowerManagement = 0x02,
  kLbaRangeType = 0x03,
  kTemperatureThreshold = 0x04,
  kErrorRecovery = 0x05,
  kVolatileWriteCache = 0x06,
  kNumberOfQueues = 0x07,
  kInterruptCoalescing = 0x08,
  kInterruptVectorConfig = 0x09,
  kWriteAtomicityNormal = 0x0a,
  kAsyncEventConfig = 0x0b,
  kAutonomousPowerTransition = 0x0c,
  kHostMemoryBuffer = 0x0d,
  kTimestamp = 0x0e,
  kKeepAliveTimer = 0x0f,
  kHostThermalManagement = 0x10,
  kNonOperationalPowerState = 0x11,
  kReadRecoveryLevel = 0x12,
  kPredictableLatencyConfig = 0x13,
  kPredictableLatencyWindow = 0x14,
  kLbaStatusInterval = 0x15,
  kHostBehavior = 0x16,
  kSanitizeConfig = 0x17,
  kEnduranceGroupEventConfig = 0x18,
  kCommandSetProfile = 0x19,
  kSpinupControl = 0x1a,
  kFlexibleDataPlacement = 0x1d,
  kFlexibleDataPlacementEvents = 0x1e,
  kControllerMetadata = 0x7e,
  kNamespaceMetadata = 0x7f,
  kSoftwareProgressMarker = 0x80,
  kHostIdentifier = 0x81,
  kReservationNotificationMask = 0x82,
  kReservationPersistence = 0x83,
  kNamespaceWriteProtection = 0x84,
};

/// SEL of Get Features: which value is asked for. [Base 2.1 §5.1.11]
enum class FeatureSelect : std::uint8_t {
  kCurrent = 0,
  kDefault = 1,
  kSaved = 2,
  kSupportedCapabilities = 3,
};

/// Number of Queues: counts of I/O queues in cdw11 and in DW0 of the completion, 0's based on the
/// wire and plain counts here (1 to 65535). [Base 2.1 §5.1.25]
struct NumberOfQueues {
  std::uint32_t submission_queue_count = 1;  ///< 1 to 65535
  std::uint32_t completion_queue_count = 1;  ///< 1 to 65535

  /// Reads cdw11 of the command, or DW0 of its completion.
  static constexpr NumberOfQueues decode(std::uint32_t dword) {
    return {(dword & 0xffff) + 1, (dword >> 16) + 1};
  }
  /// The dword that says this.
  constexpr std::uint32_t encode() const {
    return ((submission_queue_count - 1) & 0xffff) | ((completion_queue_count - 1) << 16);
  }
  /// How many pairs there can be.
  constexpr std::uint32_t pair_count() const {
    return submission_queue_count < completion_queue_count ? submission_queue_count
                                                           : completion_queue_count;
  }
};

///@{
/// Bits of Asynchronous Event Configuration (cdw11). The notices have the same bits in OAES of
/// Identify Controller. [Base 2.1 §5.1.25]
inline constexpr std::uint32_t kAsyncSmartSpare = 1u << 0;
inline constexpr std::uint32_t kAsyncSmartTemperature = 1u << 1;
inline constexpr std::uint32_t kAsyncSmartReliability = 1u << 2;
inline constexpr std::uint32_t kAsyncSmartReadOnly = 1u << 3;
inline constexpr std::uint32_t kAsyncSmartVolatileBackup = 1u << 4;
inline constexpr std::uint32_t kAsyncSmartPmr = 1u << 5;
inline constexpr std::uint32_t kAsyncSmartAll = 0x3f;
inline constexpr std::uint32_t kAsyncNamespaceAttribute = 1u << 8;
inline constexpr std::uint32_t kAsyncFirmwareActivation = 1u << 9;
inline constexpr std::uint32_t kAsyncTelemetryLog = 1u << 10;
inline constexpr std::uint32_t kAsyncAnaChange = 1u << 11;
inline constexpr std::uint32_t kAsyncPredictableLatency = 1u << 12;
inline constexpr std::uint32_t kAsyncLbaStatus = 1u << 13;
inline constexpr std::uint32_t kAsyncEnduranceGroup = 1u << 14;
inline constexpr std::uint32_t kAsyncNormalShutdown = 1u << 15;
inline constexpr std::uint32_t kAsyncZoneDescriptor = 1u << 27;
inline constexpr std::uint32_t kAsyncDiscoveryLog = 1u << 31;
///@}

/// WCE, bit 0 of Volatile Write Cache. [Base 2.1 §5.1.25]
inline constexpr std::uint32_t kVolatileWriteCacheEnable = 1u << 0;

/// DULBE, bit 16 of Error Recovery: reads of deallocated blocks fail. [NVM 1.1 §4.1.3]
inline constexpr std::uint32_t kDeallocatedReadError = 1u << 16;

/// EXHID, bit 0 of Host Identifier: 16 bytes instead of 8. [Base 2.1 §5.1.25]
inline constexpr std::uint32_t kExtendedHostIdentifier = 1u << 0;

/// The data of Host Behavior Support: 512 bytes. [Base 2.1 §5.1.25]
struct HostBehavior {
  std::uint8_t acre = 0;    ///< 1: Command Interrupted and CRD are understood
  std::uint8_t etdas = 0;   ///< 1: extended telemetry data area
  std::uint8_t lbafee = 0;  ///< 1: extended LBA formats
  std::uint8_t hdisns = 0;  ///< 1: dispersed namespaces
  Le16 cdfe;                ///< copy descriptor formats
  std::array<std::uint8_t, 506> reserved6{};
};

static_assert(sizeof(HostBehavior) == 512);
static_assert(offsetof(HostBehavior, lbafee) == 2 && offsetof(HostBehavior, cdfe) == 4);
static_assert(std::is_trivially_copyable_v<HostBehavior>);

/// The data of Timestamp: milliseconds since 1970-01-01 UTC. [Base 2.1 §5.1.25]
struct Timestamp {
  Le48 milliseconds;  ///< since 1970-01-01 UTC
  /// Origin of the value in bits 3:1; bit 0: it may have stopped for a while.
  std::uint8_t attributes = 0;
  std::uint8_t reserved7 = 0;
};

static_assert(sizeof(Timestamp) == 8);
static_assert(offsetof(Timestamp, attributes) == 6);
static_assert(std::is_trivially_copyable_v<Timestamp>);

}  // namespace nvublk::nvme::spec
