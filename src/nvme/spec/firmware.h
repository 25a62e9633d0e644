#pragma once

// Firmware slots. Their log is in log_pages.h. [Base 2.1 §3.11, §5.1.8, §5.1.9]

#include <cstdint>

namespace nvublk::nvme::spec {

/// CA: what becomes of the image that was downloaded, or of that in a slot. [Base 2.1 §5.1.8]
enum class FirmwareAction : std::uint8_t {
  kReplace = 0,
  kReplaceAndActivateAtReset = 1,
  kActivateAtReset = 2,
  kReplaceAndActivateNow = 3,
};

///@{
/// Bits of FRMW: slot 1 is read only, images are activated without a reset, and updates that
/// overlap are detected. How many slots there are is in bits 3:1. [Base 2.1 §5.1.13.2.1]
inline constexpr std::uint8_t kFirmwareFirstSlotReadOnly = 1u << 0;
inline constexpr std::uint8_t kFirmwareActivatesWithoutReset = 1u << 4;
inline constexpr std::uint8_t kFirmwareDetectsOverlap = 1u << 5;
///@}
/// Slots that there can be; they are numbered from 1.
inline constexpr std::uint8_t kFirmwareMaxSlots = 7;
/// The unit of FWUG.
inline constexpr std::uint32_t kFirmwareGranularityBytes = 4096;
/// FWUG that allows pieces of any size and place.
inline constexpr std::uint8_t kFirmwareAnyGranularity = 0xff;

}  // namespace nvublk::nvme::spec
