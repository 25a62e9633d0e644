#include "nvme/async_event_text.h"

#include <cstring>

#include "nvme/spec/log_pages.h"

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

}  // namespace

std::string async_event_text(const spec::AsyncEvent& event, std::span<const std::byte> log) {
  switch (event.type) {
    case spec::AsyncEventType::kError:
      return error_text(event.information);
    case spec::AsyncEventType::kSmartHealth:
      return health_text(event.information, log);
    case spec::AsyncEventType::kNotice:
      return notice_text(event.information);
    default:
      return "an asynchronous event of type " + std::to_string(static_cast<unsigned>(event.type)) +
             ", information " + std::to_string(event.information) + ", log page " +
             std::to_string(event.log_page);
  }
}

}  // namespace nvublk::nvme
