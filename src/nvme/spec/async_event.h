#pragma once

// What the completion of an Asynchronous Event Request says. [Base 2.1 §5.1.2]

#include <cstdint>

#include "nvme/spec/cqe.h"

namespace nvublk::nvme::spec {

/// DW0 bits 2:0. [Base 2.1 §5.1.2]
enum class AsyncEventType : std::uint8_t {
  kError = 0,
  kSmartHealth = 1,
  kNotice = 2,
  kImmediate = 3,
  kOneShot = 4,
  kCommandSet = 6,
  kVendorSpecific = 7,
};

/// Information of kError events.
enum class AsyncError : std::uint8_t {
  kInvalidDoorbell = 0x00,
  kInvalidDoorbellValue = 0x01,
  kDiagnosticFailure = 0x02,
  kPersistentInternalError = 0x03,
  kTransientInternalError = 0x04,
  kFirmwareImageLoadError = 0x05,
};

/// Information of kSmartHealth events.
enum class AsyncHealth : std::uint8_t {
  kSubsystemReliability = 0x00,
  kTemperatureThreshold = 0x01,
  kSpareBelowThreshold = 0x02,
};

/// Information of kNotice events.
enum class AsyncNotice : std::uint8_t {
  kNamespaceAttributeChanged = 0x00,
  kFirmwareActivationStarting = 0x01,
  kTelemetryLogChanged = 0x02,
  kAnaChange = 0x03,
  kPredictableLatencyChange = 0x04,
  kLbaStatusAlert = 0x05,
  kEnduranceGroupChange = 0x06,
  kReachabilityGroupChange = 0x07,
  kReachabilityAssociationChange = 0x08,
  kAllocatedNamespaceChanged = 0x09,
  kDiscoveryLogChanged = 0xf0,
};

/// Information of kCommandSet events. [Base 2.1 §5.1.2.1]
enum class AsyncCommandSet : std::uint8_t {
  kReservationLogAvailable = 0x00,
  kSanitizeCompleted = 0x01,
  kSanitizeCompletedDeallocated = 0x02,
  kSanitizeMediaVerification = 0x03,
};

/// A decoded event. The event stays masked until its log page is read without RAE.
struct AsyncEvent {
  /// What kind it is; decides what `information` means.
  AsyncEventType type = AsyncEventType::kError;
  std::uint8_t information = 0;  ///< an AsyncError, AsyncHealth, AsyncNotice or AsyncCommandSet
  std::uint8_t log_page = 0;     ///< the log page to read, which also clears the event

  /// Reads DW0 of the completion.
  static constexpr AsyncEvent decode(const CompletionEntry& entry) {
    const std::uint32_t dw0 = entry.dw0.get();
    return {static_cast<AsyncEventType>(dw0 & 0x7), static_cast<std::uint8_t>(dw0 >> 8),
            static_cast<std::uint8_t>(dw0 >> 16)};
  }
  /// The DW0 that says this.
  constexpr std::uint32_t encode() const {
    return static_cast<std::uint32_t>(type) | (static_cast<std::uint32_t>(information) << 8) |
           (static_cast<std::uint32_t>(log_page) << 16);
  }
  /// Whether it is this notice.
  constexpr bool is(AsyncNotice notice) const {
    return type == AsyncEventType::kNotice && information == static_cast<std::uint8_t>(notice);
  }

  friend constexpr bool operator==(const AsyncEvent&, const AsyncEvent&) = default;
};

}  // namespace nvublk::nvme::spec
