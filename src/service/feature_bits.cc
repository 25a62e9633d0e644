#include "service/feature_bits.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "engine/endian.h"
#include "nvme/spec/features.h"

namespace nvublk::service {

namespace {

using nvme::spec::FeatureId;

[[gnu::format(printf, 1, 2)]] std::string line(const char* pattern, ...) {
  std::array<char, 256> text{};
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text.data(), text.size(), pattern, arguments);
  va_end(arguments);
  return "\t" + std::string(text.data()) + "\n";
}

const char* enabled(std::uint32_t bit) {
  return bit != 0 ? "Enabled" : "Disabled";
}
const char* truth(std::uint32_t bit) {
  return bit != 0 ? "True" : "False";
}
int celsius(std::uint32_t kelvin) {
  return static_cast<int>(kelvin & 0xffff) - 273;
}

std::string arbitration(std::uint32_t value) {
  const std::uint32_t burst = value & 7;
  return line("High Priority Weight   (HPW): %u", (value >> 24) + 1) +
         line("Medium Priority Weight (MPW): %u", (value >> 16 & 0xff) + 1) +
         line("Low Priority Weight    (LPW): %u", (value >> 8 & 0xff) + 1) +
         line("Arbitration Burst       (AB): %s",
              burst == 7 ? "No limit" : std::to_string(1u << burst).c_str());
}

std::string power_management(std::uint32_t value) {
  constexpr std::array<const char*, 3> kHints = {
      "No Workload", "Extended Idle Period with a Burst of Random Writes",
      "Heavy Sequential Writes"};
  const std::uint32_t hint = value >> 5 & 7;
  return line("Workload Hint (WH): %u - %s", hint, hint < 3 ? kHints.at(hint) : "Reserved") +
         line("Power State   (PS): %u", value & 0x1f);
}

std::string temperature_threshold(std::uint32_t value) {
  const std::uint32_t type = value >> 20 & 3;
  const std::uint32_t sensor = value >> 16 & 0xf;
  const std::string which = sensor == 0  ? "Composite Temperature"
                            : sensor < 9 ? "Temperature Sensor " + std::to_string(sensor)
                                         : "Reserved";
  return line("Threshold Type Select         (THSEL): %u - %s", type,
              type == 0   ? "Over Temperature Threshold"
              : type == 1 ? "Under Temperature Threshold"
                          : "Reserved") +
         line("Threshold Temperature Select (TMPSEL): %u - %s", sensor, which.c_str()) +
         line("Temperature Threshold         (TMPTH): %d °C (%u Kelvin)", celsius(value),
              value & 0xffff);
}

std::string async_events(std::uint32_t value) {
  struct Notice {
    const char* name;
    std::uint32_t bits;
  };
  constexpr std::array kNotices = {
      Notice{"Discovery Log Page Change Notices", 1u << 31},
      Notice{"Endurance Group Event Aggregate Log Change Notices", 1u << 14},
      Notice{"LBA Status Information Notices", 1u << 13},
      Notice{"Predictable Latency Event Aggregate Log Change Notices", 1u << 12},
      Notice{"Asymmetric Namespace Access Change Notices", 1u << 11},
      Notice{"Telemetry Log Notices", 1u << 10},
      Notice{"Firmware Activation Notices", 1u << 9},
      Notice{"Namespace Attribute Notices", 1u << 8},
      Notice{"SMART / Health Critical Warnings", 0xff}};
  std::string text;
  for (const Notice& each : kNotices) {
    text += line("%-58s: %s", each.name,
                 (value & each.bits) != 0 ? "Send async event" : "Do not send async event");
  }
  return text;
}

std::string power_transitions(std::uint32_t value, std::span<const std::byte> data) {
  const char* rule = ".................";
  std::string text =
      line("Autonomous Power State Transition Enable (APSTE): %s", enabled(value & 1)) +
      "\tAuto PST Entries" + line("%s", rule);
  for (std::size_t i = 0; (i + 1) * sizeof(Le64) <= data.size(); i++) {
    Le64 entry;
    std::memcpy(&entry, data.data() + i * sizeof(entry), sizeof(entry));
    const auto low = static_cast<std::uint32_t>(entry.get());
    text += line("Entry[%2zu]   ", i) + line("%s", rule) +
            line("Idle Time Prior to Transition (ITPT): %u ms", low >> 8) +
            line("Idle Transition Power State   (ITPS): %u", low >> 3 & 0x1f) + line("%s", rule);
  }
  return text;
}

std::string reservation_mask(std::uint32_t value) {
  return line("Mask Reservation Preempted Notification  (RESPRE): %s", truth(value & 8)) +
         line("Mask Reservation Released Notification   (RESREL): %s", truth(value & 4)) +
         line("Mask Registration Preempted Notification (REGPRE): %s", truth(value & 2));
}

std::string thermal_management(std::uint32_t value) {
  return line("Thermal Management Temperature 1 (TMT1) : %u Kelvin (%d °C)", value >> 16,
              celsius(value >> 16)) +
         line("Thermal Management Temperature 2 (TMT2) : %u Kelvin (%d °C)", value & 0xffff,
              celsius(value));
}

}  // namespace

std::string feature_bits(std::uint8_t feature, std::uint32_t value,
                         std::span<const std::byte> data) {
  switch (static_cast<FeatureId>(feature)) {
    case FeatureId::kArbitration:
      return arbitration(value);
    case FeatureId::kPowerManagement:
      return power_management(value);
    case FeatureId::kTemperatureThreshold:
      return temperature_threshold(value);
    case FeatureId::kErrorRecovery:
      return line("Deallocated or Unwritten Logical Block Error Enable (DULBE): %s",
                  enabled(value & 1u << 16)) +
             line("Time Limited Error Recovery                          (TLER): %u ms",
                  (value & 0xffff) * 100);
    case FeatureId::kVolatileWriteCache:
      return line("Volatile Write Cache Enable (WCE): %s", enabled(value & 1));
    case FeatureId::kNumberOfQueues:
      return line("Number of IO Completion Queues Allocated (NCQA): %u", (value >> 16) + 1) +
             line("Number of IO Submission Queues Allocated (NSQA): %u", (value & 0xffff) + 1);
    case FeatureId::kInterruptCoalescing:
      return line("Aggregation Time     (TIME): %u usec", (value >> 8 & 0xff) * 100) +
             line("Aggregation Threshold (THR): %u", (value & 0xff) + 1);
    case FeatureId::kInterruptVectorConfig:
      return line("Coalescing Disable (CD): %s", truth(value & 1u << 16)) +
             line("Interrupt Vector   (IV): %u", value & 0xffff);
    case FeatureId::kWriteAtomicityNormal:
      return line("Disable Normal (DN): %s", truth(value & 1));
    case FeatureId::kAsyncEventConfig:
      return async_events(value);
    case FeatureId::kAutonomousPowerTransition:
      return power_transitions(value, data);
    case FeatureId::kKeepAliveTimer:
      return line("Keep Alive Timeout (KATO) in milliseconds: %u", value);
    case FeatureId::kHostThermalManagement:
      return thermal_management(value);
    case FeatureId::kNonOperationalPowerState:
      return line("Non-Operational Power State Permissive Mode Enable (NOPPME): %s",
                  truth(value & 1));
    case FeatureId::kReadRecoveryLevel:
      return line("Read Recovery Level (RRL): %u", value & 0xf);
    case FeatureId::kSoftwareProgressMarker:
      return line("Pre-boot Software Load Count (PBSLC): %u", value & 0xff);
    case FeatureId::kReservationNotificationMask:
      return reservation_mask(value);
    case FeatureId::kReservationPersistence:
      return line("Persist Through Power Loss (PTPL): %s", truth(value & 1));
    default:
      return {};
  }
}

}  // namespace nvublk::service
