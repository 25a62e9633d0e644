#include "nvme/controller_capabilities.h"

#include <cstring>

#include "engine/endian.h"
#include "nvme/spec/features.h"
#include "nvme/spec/log_pages.h"

namespace nvublk::nvme {

namespace {

using spec::FeatureId;
using spec::LogPage;

template <typename Id>
void set(SupportedSet& into, Id id, bool supported) {
  if (supported) {
    into.set(static_cast<std::size_t>(id));
  }
}

}  // namespace

SupportedSet assumed_log_pages(const spec::IdentifyController& identify) {
  SupportedSet pages;
  if (identify.type() == spec::ControllerType::kDiscovery) {
    set(pages, LogPage::kDiscovery, true);
    return pages;
  }
  constexpr std::uint32_t kDeviceSelfTest = 1u << 4;  // of OACS
  const std::uint32_t oacs = identify.oacs.get();
  const std::uint32_t oaes = identify.oaes.get();
  for (const LogPage page :
       {LogPage::kErrorInformation, LogPage::kSmartHealth, LogPage::kFirmwareSlot}) {
    set(pages, page, true);
  }
  set(pages, LogPage::kChangedNamespaceList, (oaes & spec::kAsyncNamespaceAttribute) != 0);
  set(pages, LogPage::kCommandEffects, identify.supports_command_effects_log());
  set(pages, LogPage::kDeviceSelfTest, (oacs & kDeviceSelfTest) != 0);
  set(pages, LogPage::kTelemetryHost, identify.supports_telemetry());
  set(pages, LogPage::kTelemetryController, identify.supports_telemetry());
  set(pages, LogPage::kAna, identify.supports_ana());
  set(pages, LogPage::kEnduranceGroup, identify.endgidmax.get() != 0);
  set(pages, LogPage::kReservationNotification, identify.supports_reservations());
  set(pages, LogPage::kSanitizeStatus, (identify.sanicap.get() & 0x7) != 0);
  set(pages, LogPage::kSupportedLogPages, identify.supports_supported_logs());
  set(pages, LogPage::kFeatureEffects, identify.supports_supported_logs());
  return pages;
}

SupportedSet assumed_features(const spec::IdentifyController& identify) {
  SupportedSet features;
  set(features, FeatureId::kAsyncEventConfig, true);
  set(features, FeatureId::kKeepAliveTimer, identify.kas.get() != 0);
  if (identify.type() == spec::ControllerType::kDiscovery) {
    set(features, FeatureId::kKeepAliveTimer, true);
    return features;
  }
  for (const FeatureId feature :
       {FeatureId::kArbitration, FeatureId::kPowerManagement, FeatureId::kTemperatureThreshold,
        FeatureId::kErrorRecovery, FeatureId::kNumberOfQueues, FeatureId::kWriteAtomicityNormal}) {
    set(features, feature, true);
  }
  constexpr std::uint32_t kExtendedTelemetry = 1u << 6;  // of LPA: data area 4
  const bool retries = identify.crdt1.get() != 0;
  set(features, FeatureId::kVolatileWriteCache, identify.has_volatile_write_cache());
  set(features, FeatureId::kAutonomousPowerTransition, (identify.apsta & 1) != 0);
  set(features, FeatureId::kHostMemoryBuffer, identify.hmpre.get() != 0);
  set(features, FeatureId::kTimestamp, identify.supports_timestamp());
  set(features, FeatureId::kHostThermalManagement, (identify.hctma.get() & 1) != 0);
  set(features, FeatureId::kHostBehavior,
      retries || identify.supports_extended_lba_formats() ||
          (identify.lpa & kExtendedTelemetry) != 0);
  set(features, FeatureId::kHostIdentifier, identify.supports_reservations());
  set(features, FeatureId::kReservationNotificationMask, identify.supports_reservations());
  set(features, FeatureId::kReservationPersistence, identify.supports_reservations());
  set(features, FeatureId::kNamespaceWriteProtection, (identify.nwpc & 1) != 0);
  return features;
}

SupportedSet decode_supported(std::span<const std::byte> page) {
  SupportedSet supported;
  for (std::size_t id = 0; id < supported.size() && page.size() >= (id + 1) * sizeof(Le32); id++) {
    Le32 entry;
    std::memcpy(&entry, page.data() + id * sizeof(entry), sizeof(entry));
    supported.set(id, (entry.get() & 1) != 0);
  }
  return supported;
}

}  // namespace nvublk::nvme
