#pragma once

// Sanitize: what it does, and the log of it. [Base 2.1 §5.1.22, §8.1.24]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"

namespace nvublk::nvme::spec {

/// SANACT. [Base 2.1 §5.1.22]
enum class SanitizeAction : std::uint8_t {
  kExitFailureMode = 1,
  kBlockErase = 2,
  kOverwrite = 3,
  kCryptoErase = 4,
  kExitMediaVerification = 5,
};

/// CDW10 of Sanitize. [Base 2.1 §5.1.22]
struct SanitizeCommand {
  /// What is done; the fields of an overwrite matter to that only.
  SanitizeAction action = SanitizeAction::kBlockErase;
  bool allow_unrestricted_exit = false;  ///< AUSE
  std::uint8_t overwrite_passes = 1;     ///< OWPASS, 1 to 16
  bool invert_between_passes = false;    ///< OIPBP
  bool no_deallocate = false;            ///< NDAS
  bool media_verification = false;       ///< EMVS

  /// Reads CDW10.
  static constexpr SanitizeCommand decode(std::uint32_t cdw10) {
    SanitizeCommand command;
    command.action = static_cast<SanitizeAction>(cdw10 & 0x7);
    command.allow_unrestricted_exit = (cdw10 & (1u << 3)) != 0;
    const auto passes = static_cast<std::uint8_t>((cdw10 >> 4) & 0xf);
    command.overwrite_passes = passes == 0 ? std::uint8_t{16} : passes;
    command.invert_between_passes = (cdw10 & (1u << 8)) != 0;
    command.no_deallocate = (cdw10 & (1u << 9)) != 0;
    command.media_verification = (cdw10 & (1u << 10)) != 0;
    return command;
  }
};

///@{
/// Bits of SANICAP: CES, BES, OWS, VERS and NDI. [Base 2.1 §5.1.13.2.1]
inline constexpr std::uint32_t kSanitizeCryptoErase = 1u << 0;
inline constexpr std::uint32_t kSanitizeBlockErase = 1u << 1;
inline constexpr std::uint32_t kSanitizeOverwrite = 1u << 2;
inline constexpr std::uint32_t kSanitizeVerification = 1u << 3;
inline constexpr std::uint32_t kSanitizeNoDeallocateInhibited = 1u << 29;
///@}
/// NODMMAS 01b: NDAS does not make the controller modify the media afterwards.
inline constexpr std::uint32_t kSanitizeMediaNotModified = 1u << 30;

/// SOS: how the last operation went. [Base 2.1 §5.1.12.1.33]
enum class SanitizeStatus : std::uint8_t {
  kNeverStarted = 0,
  kSucceeded = 1,
  kInProgress = 2,
  kFailed = 3,
  kUnexpectedlyDeallocated = 4,  ///< it succeeded, and deallocated although NDAS was set
};

/// SANS: where the sanitize state machine is. [Base 2.1 §8.1.24.3]
enum class SanitizeState : std::uint8_t {
  kIdle = 0,
  kRestrictedProcessing = 1,
  kRestrictedFailure = 2,
  kUnrestrictedProcessing = 3,
  kUnrestrictedFailure = 4,
  kMediaVerification = 5,
  kPostVerificationDeallocation = 6,
};

/// SPROG while no operation is in progress. [Base 2.1 §5.1.12.1.33]
inline constexpr std::uint16_t kSanitizeNoProgress = 0xffff;
/// An estimated time that is not reported. [Base 2.1 §5.1.12.1.33]
inline constexpr std::uint32_t kSanitizeTimeUnknown = 0xffffffff;

/// Sanitize Status, LID 81h. [Base 2.1 §5.1.12.1.33]
struct SanitizeStatusLog {
  Le16 sprog;                           ///< 65536ths that are done; FFFFh: nothing is in progress
  Le16 sstat;                           ///< see below
  Le32 scdw10;                          ///< CDW10 of the last command that began an operation
  Le32 overwrite_seconds;               ///< ETO, an estimate for 16 passes; FFFFFFFFh: not reported
  Le32 block_erase_seconds;             ///< ETBE
  Le32 crypto_erase_seconds;            ///< ETCE
  Le32 overwrite_modifying_seconds;     ///< ETODMM: with NDAS, where that modifies the media
  Le32 block_erase_modifying_seconds;   ///< ETBENMM
  Le32 crypto_erase_modifying_seconds;  ///< ETCENMM
  Le32 deallocation_seconds;            ///< ETPVDS: after the media verification state
  std::uint8_t ssi = 0;  ///< the state in bits 3:0, and that in which the operation failed in 7:4
  std::array<std::uint8_t, 475> reserved37{};

  /// How the last operation went.
  constexpr SanitizeStatus status() const { return static_cast<SanitizeStatus>(sstat.get() & 0x7); }
  /// Passes of an overwrite that are complete.
  constexpr std::uint32_t passes_completed() const { return (sstat.get() >> 3) & 0x1fu; }
  /// GDE: nothing was written since the last successful operation, or ever.
  constexpr bool global_data_erased() const { return (sstat.get() & (1u << 8)) != 0; }
  /// Where the state machine is; controllers before 2.1 say kIdle.
  constexpr SanitizeState state() const { return static_cast<SanitizeState>(ssi & 0xf); }
  /// 0 to 100; 100 when nothing is in progress.
  constexpr std::uint32_t progress_percent() const {
    return sprog.get() == kSanitizeNoProgress ? 100u : sprog.get() * 100u / 65536u;
  }
};

static_assert(sizeof(SanitizeStatusLog) == 512);
static_assert(offsetof(SanitizeStatusLog, scdw10) == 4);
static_assert(offsetof(SanitizeStatusLog, crypto_erase_seconds) == 16);
static_assert(offsetof(SanitizeStatusLog, deallocation_seconds) == 32);
static_assert(offsetof(SanitizeStatusLog, ssi) == 36);
static_assert(std::is_trivially_copyable_v<SanitizeStatusLog>);

}  // namespace nvublk::nvme::spec
