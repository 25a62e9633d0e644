#include "service/feature_names.h"

#include <algorithm>
#include <array>
#include <utility>

#include "nvme/base64.h"
#include "nvme/spec/features.h"

namespace nvublk::service {

namespace {

using nvme::spec::FeatureId;

struct Feature {
  FeatureId id;
  std::string_view name;
  std::size_t data_bytes = 0;
};

// [Base 2.1 §5.1.25] [NVM 1.1 §4.1.3]
constexpr std::array kFeatures = {
    Feature{FeatureId::kArbitration, "Arbitration"},
    Feature{FeatureId::kPowerManagement, "Power Management"},
    Feature{FeatureId::kLbaRangeType, "LBA Range Type", 4096},
    Feature{FeatureId::kTemperatureThreshold, "Temperature Threshold"},
    Feature{FeatureId::kErrorRecovery, "Error Recovery"},
    Feature{FeatureId::kVolatileWriteCache, "Volatile Write Cache"},
    Feature{FeatureId::kNumberOfQueues, "Number of Queues"},
    Feature{FeatureId::kInterruptCoalescing, "Interrupt Coalescing"},
    Feature{FeatureId::kInterruptVectorConfig, "Interrupt Vector Configuration"},
    Feature{FeatureId::kWriteAtomicityNormal, "Write Atomicity Normal"},
    Feature{FeatureId::kAsyncEventConfig, "Async Event Configuration"},
    Feature{FeatureId::kAutonomousPowerTransition, "Autonomous Power State Transition", 256},
    Feature{FeatureId::kHostMemoryBuffer, "Host Memory Buffer", 4096},
    Feature{FeatureId::kTimestamp, "Timestamp", sizeof(nvme::spec::Timestamp)},
    Feature{FeatureId::kKeepAliveTimer, "Keep Alive Timer"},
    Feature{FeatureId::kHostThermalManagement, "Host Controlled Thermal Management"},
    Feature{FeatureId::kNonOperationalPowerState, "Non-Operational Power State Config"},
    Feature{FeatureId::kReadRecoveryLevel, "Read Recovery Level"},
    Feature{FeatureId::kPredictableLatencyConfig, "Predictable Latency Mode Config", 512},
    Feature{FeatureId::kPredictableLatencyWindow, "Predictable Latency Mode Window"},
    Feature{FeatureId::kLbaStatusInterval, "LBA Status Information Attributes"},
    Feature{FeatureId::kHostBehavior, "Host Behavior", sizeof(nvme::spec::HostBehavior)},
    Feature{FeatureId::kSanitizeConfig, "Sanitize"},
    Feature{FeatureId::kEnduranceGroupEventConfig, "Endurance Group Event Configuration"},
    Feature{FeatureId::kCommandSetProfile, "I/O Command Set Profile"},
    Feature{FeatureId::kSpinupControl, "Spinup Control"},
    Feature{FeatureId::kFlexibleDataPlacement, "Flexible Data Placement"},
    Feature{FeatureId::kFlexibleDataPlacementEvents, "Flexible Data Placement Events"},
    Feature{FeatureId::kControllerMetadata, "Controller Metadata", 4096},
    Feature{FeatureId::kNamespaceMetadata, "Namespace Metadata", 4096},
    Feature{FeatureId::kSoftwareProgressMarker, "Software Progress"},
    Feature{FeatureId::kHostIdentifier, "Host Identifier", 8},
    Feature{FeatureId::kReservationNotificationMask, "Reservation Notification Mask"},
    Feature{FeatureId::kReservationPersistence, "Reservation Persistence"},
    Feature{FeatureId::kNamespaceWriteProtection, "Namespace Write Protect"},
};

const Feature* find(std::uint8_t feature) {
  const auto found = std::find_if(kFeatures.begin(), kFeatures.end(), [feature](const Feature& f) {
    return std::to_underlying(f.id) == feature;
  });
  return found == kFeatures.end() ? nullptr : &*found;
}

}  // namespace

std::string_view feature_name(std::uint8_t feature) {
  const Feature* known = find(feature);
  return known == nullptr ? "Unknown" : known->name;
}

std::string_view feature_select_name(std::uint8_t select) {
  constexpr std::array<std::string_view, 4> kNames = {"Current", "Default", "Saved",
                                                      "Supported capabilities"};
  return select < kNames.size() ? kNames[select] : "Reserved";
}

std::size_t feature_data_bytes(std::uint8_t feature, std::uint32_t cdw11) {
  const Feature* known = find(feature);
  if (known == nullptr) {
    return 0;
  }
  const bool extended =
      known->id == FeatureId::kHostIdentifier && (cdw11 & nvme::spec::kExtendedHostIdentifier) != 0;
  return extended ? 16 : known->data_bytes;
}

Json feature_report(std::uint8_t feature, std::uint8_t select, std::uint32_t value,
                    std::span<const std::byte> data) {
  Json json;
  json["feature"] = feature;
  json["name"] = feature_name(feature);
  json["select"] = feature_select_name(select);
  json["value"] = value;
  if (select == std::to_underlying(nvme::spec::FeatureSelect::kSupportedCapabilities)) {
    Json list = Json::array();
    constexpr std::array kBits = {"saveable", "per-namespace", "changeable"};
    for (std::size_t bit = 0; bit < kBits.size(); bit++) {
      if ((value >> bit & 1) != 0) {
        list.push_back(kBits[bit]);
      }
    }
    json["capabilities"] = std::move(list);
  }
  if (!data.empty()) {
    json["data"] = nvme::to_base64(data);
  }
  return json;
}

}  // namespace nvublk::service
