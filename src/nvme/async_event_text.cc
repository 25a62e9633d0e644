#include "nvme/async_event_text.h"

#include <cstring>

#include "nvme/spec/log_pages.h"
#include "nvme/spec/sanitize.h"

namespace nvublk::nvme {

namespace {

std::string error_text(std::uint8_t information) {
  switch (static_cast<spec::AsyncError>(information)) {
    case spec::AsyncError::kInvalidDoorbell:
      return "a doorbell of a queue that does not exist was written";
    case spec::AsyncError::kInvalidDoorbellValue:
      return "a doorbell was written with an invalid value";
    case spec::AsyncError::kDiagnosticFailure:
      return "a diagnostic failed";
    case spec::AsyncError::kPersistentInternalError:
      return "it has a persistent internal error";
    case spec::AsyncError::kTransientInternalError:
      return "it had a transient internal error";
    case spec::AsyncError::kFirmwareImageLoadError:
      return "a firmware image could not be loaded; an earlier one runs";
  }
  return "it reports an error (information " + std::to_string(information) + ")";
}

std::string health_text(std::uint8_t information, std::span<const std::byte> log) {
  std::string text = "a health warning (information " + std::to_string(information) + ")";
  switch (static_cast<spec::AsyncHealth>(information)) {
    case spec::AsyncHealth::kSubsystemReliability:
      text = "the reliability of the subsystem is degraded";
      break;
    case spec::AsyncHealth::kTemperatureThreshold:
      text = "a temperature is beyond its threshold";
      break;
    case spec::AsyncHealth::kSpareBelowThreshold:
      text = "the available spare is below its threshold";
      break;
  }
  if (spec::SmartLog smart; log.size() >= sizeof(smart)) {
    std::memcpy(static_cast<void*>(&smart), log.data(), sizeof(smart));
    constexpr int kZeroCelsius = 273;
    text += ": " + std::to_string(smart.composite_temperature_kelvin.get() - kZeroCelsius) +
            " degrees Celsius, spare " + std::to_string(smart.available_spare_percent) +
            " %, used " + std::to_string(smart.percentage_used) + " %, critical warning " +
            std::to_string(smart.critical_warning);
  }
  return text;
}

std::string notice_text(std::uint8_t information) {
  switch (static_cast<spec::AsyncNotice>(information)) {
    case spec::AsyncNotice::kNamespaceAttributeChanged:
      return "namespaces changed";
    case spec::AsyncNotice::kFirmwareActivationStarting:
      return "it activates new firmware; commands may wait meanwhile";
    case spec::AsyncNotice::kTelemetryLogChanged:
      return "it has new telemetry data";
    case spec::AsyncNotice::kAnaChange:
      return "the ANA state of namespaces changed";
    case spec::AsyncNotice::kDiscoveryLogChanged:
      return "the discovery log changed";
    default:
      return "a notice (information " + std::to_string(information) + ")";
  }
}

std::string sanitize_text(std::span<const std::byte> log) {
  spec::SanitizeStatusLog status;
  if (log.size() < sizeof(status)) {
    return "a sanitize operation has ended";
  }
  std::memcpy(static_cast<void*>(&status), log.data(), sizeof(status));
  switch (status.status()) {
    case spec::SanitizeStatus::kSucceeded:
      return "a sanitize operation has ended: all user data is erased";
    case spec::SanitizeStatus::kUnexpectedlyDeallocated:
      return "a sanitize operation has ended: all user data is erased, and all blocks are "
             "deallocated, although that was not wanted";
    case spec::SanitizeStatus::kFailed:
      return "a sanitize operation has failed; it refuses commands until another one succeeds or "
             "the failure mode is left";
    default:
      return "a sanitize operation has ended (status " +
             std::to_string(static_cast<unsigned>(status.status())) + ")";
  }
}

std::string command_set_text(std::uint8_t information, std::span<const std::byte> log) {
  switch (static_cast<spec::AsyncCommandSet>(information)) {
    case spec::AsyncCommandSet::kReservationLogAvailable:
      return "a reservation changed";
    case spec::AsyncCommandSet::kSanitizeCompleted:
    case spec::AsyncCommandSet::kSanitizeCompletedDeallocated:
      return sanitize_text(log);
    case spec::AsyncCommandSet::kSanitizeMediaVerification:
      return "a sanitize operation has erased all user data; the media can be verified";
  }
  return "an event of its command set (information " + std::to_string(information) + ")";
}

}  // namespace

std::string async_event_text(const spec::AsyncEvent& event, std::span<const std::byte> log) {
  switch (event.type) {
    case spec::AsyncEventType::kError:
      return error_text(event.information);
    case spec::AsyncEventType::kSmartHealth:
      return health_text(event.information, log);
    case spec::AsyncEventType::kNotice:
      return notice_text(event.information);
    case spec::AsyncEventType::kCommandSet:
      return command_set_text(event.information, log);
    default:
      return "an asynchronous event of type " + std::to_string(static_cast<unsigned>(event.type)) +
             ", information " + std::to_string(event.information) + ", log page " +
             std::to_string(event.log_page);
  }
}

}  // namespace nvublk::nvme
