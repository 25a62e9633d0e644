#pragma once

// How a command ended: the 15 status bits of a completion. [Base 2.1 §4.2.3]

#include <cstdint>
#include <type_traits>

namespace nvublk::nvme::spec {

/// Status Code Type, bits 10:8. [Base 2.1 §4.2.3]
enum class StatusCodeType : std::uint8_t {
  kGeneric = 0,
  kCommandSpecific = 1,
  kMedia = 2,  ///< Media and Data Integrity Errors
  kPath = 3,
  kVendorSpecific = 7,
};

/// Codes of type kGeneric; from 80h on they belong to the I/O command sets. [Base 2.1 §4.2.3.1]
enum class GenericStatus : std::uint8_t {
  kSuccess = 0x00,
  kInvalidOpcode = 0x01,
  kInvalidField = 0x02,
  kCommandIdConflict = 0x03,
  kDataTransferError = 0x04,
  kAbortedPowerLoss = 0x05,
  kInternalError = 0x06,
  kAbortRequested = 0x07,
  kAbortedSqDeletion = 0x08,
  kAbortedFailedFused = 0x09,
  kAbortedMissingFused = 0x0a,
  kInvalidNamespaceOrFormat = 0x0b,
  kCommandSequenceError = 0x0c,
  kInvalidSglSegment = 0x0d,
  kInvalidSglCount = 0x0e,
  kDataSglLengthInvalid = 0x0f,
  kMetadataSglLengthInvalid = 0x10,
  kSglTypeInvalid = 0x11,
  kInvalidUseOfCmb = 0x12,
  kPrpOffsetInvalid = 0x13,
  kAtomicWriteUnitExceeded = 0x14,
  kOperationDenied = 0x15,
  kSglOffsetInvalid = 0x16,
  kHostIdInconsistent = 0x18,
  kKeepAliveExpired = 0x19,
  kKeepAliveInvalid = 0x1a,
  kAbortedPreempt = 0x1b,
  kSanitizeFailed = 0x1c,
  kSanitizeInProgress = 0x1d,
  kSglGranularityInvalid = 0x1e,
  kCommandNotSupportedInCmb = 0x1f,
  kNamespaceWriteProtected = 0x20,
  kCommandInterrupted = 0x21,
  kTransientTransportError = 0x22,
  kProhibitedByLockdown = 0x23,
  kAdminMediaNotReady = 0x24,
  kInvalidKeyTag = 0x25,
  kHostDispersedNotEnabled = 0x26,
  kHostIdNotInitialized = 0x27,
  kIncorrectKey = 0x28,
  kFdpDisabled = 0x29,
  kInvalidPlacementHandleList = 0x2a,
  kLbaOutOfRange = 0x80,
  kCapacityExceeded = 0x81,
  kNamespaceNotReady = 0x82,
  kReservationConflict = 0x83,
  kFormatInProgress = 0x84,
};

/// Codes of type kCommandSpecific that do not depend on the command set. [Base 2.1 §4.2.3.2]
enum class CommandStatus : std::uint8_t {
  kCompletionQueueInvalid = 0x00,
  kInvalidQueueIdentifier = 0x01,
  kInvalidQueueSize = 0x02,
  kAbortLimitExceeded = 0x03,
  kAsyncEventLimitExceeded = 0x05,
  kInvalidFirmwareSlot = 0x06,
  kInvalidFirmwareImage = 0x07,
  kInvalidInterruptVector = 0x08,
  kInvalidLogPage = 0x09,
  kInvalidFormat = 0x0a,
  kFirmwareNeedsConventionalReset = 0x0b,
  kInvalidQueueDeletion = 0x0c,
  kFeatureNotSaveable = 0x0d,
  kFeatureNotChangeable = 0x0e,
  kFeatureNotNamespaceSpecific = 0x0f,
  kFirmwareNeedsSubsystemReset = 0x10,
  kFirmwareNeedsControllerReset = 0x11,
  kFirmwareNeedsMaxTime = 0x12,
  kFirmwareActivationProhibited = 0x13,
  kOverlappingRange = 0x14,
  kNamespaceInsufficientCapacity = 0x15,
  kNamespaceIdUnavailable = 0x16,
  kNamespaceAlreadyAttached = 0x18,
  kNamespaceIsPrivate = 0x19,
  kNamespaceNotAttached = 0x1a,
  kThinProvisioningNotSupported = 0x1b,
  kControllerListInvalid = 0x1c,
  kSelfTestInProgress = 0x1d,
  kBootPartitionWriteProhibited = 0x1e,
  kInvalidControllerId = 0x1f,
  kInvalidSecondaryControllerState = 0x20,
  kInvalidControllerResources = 0x21,
  kInvalidResourceId = 0x22,
  kSanitizeProhibitedWithPmr = 0x23,
  kAnaGroupIdInvalid = 0x24,
  kAnaAttachFailed = 0x25,
  kInsufficientCapacity = 0x26,
  kNamespaceAttachmentLimitExceeded = 0x27,
  kLockdownNotSupported = 0x28,
  kCommandSetNotSupported = 0x29,
  kCommandSetNotEnabled = 0x2a,
  kCommandSetCombinationRejected = 0x2b,
  kInvalidCommandSet = 0x2c,
  kIdentifierUnavailable = 0x2d,
  kStreamAllocationFailed = 0x7f,
};

/// Codes of type kCommandSpecific for commands of the NVM command set. [NVM 1.1 §3.1]
enum class NvmStatusCode : std::uint8_t {
  kConflictingAttributes = 0x80,
  kInvalidProtectionInformation = 0x81,
  kWriteToReadOnlyRange = 0x82,
  kCommandSizeLimitExceeded = 0x83,
  kZoneBoundaryError = 0xb8,
  kZoneFull = 0xb9,
  kZoneReadOnly = 0xba,
  kZoneOffline = 0xbb,
  kZoneInvalidWrite = 0xbc,
  kTooManyActiveZones = 0xbd,
  kTooManyOpenZones = 0xbe,
  kInvalidZoneTransition = 0xbf,
};

/// Codes of type kCommandSpecific for Fabrics commands. [Base 2.1 §4.2.3.2]
enum class FabricsStatus : std::uint8_t {
  kIncompatibleFormat = 0x80,
  kControllerBusy = 0x81,
  kInvalidParameters = 0x82,  ///< see ConnectInvalidParameter
  kRestartDiscovery = 0x83,
  kInvalidHost = 0x84,
  kInvalidQueueType = 0x85,
  kDiscoverRestart = 0x90,  ///< of Get Log Page on a discovery controller
  kAuthenticationRequired = 0x91,
};

/// Codes of type kMedia. [Base 2.1 §4.2.3.3]
enum class MediaStatus : std::uint8_t {
  kWriteFault = 0x80,
  kUnrecoveredReadError = 0x81,
  kGuardCheckError = 0x82,
  kApplicationTagCheckError = 0x83,
  kReferenceTagCheckError = 0x84,
  kCompareFailure = 0x85,
  kAccessDenied = 0x86,
  kDeallocatedOrUnwritten = 0x87,
  kStorageTagCheckError = 0x88,
};

/// Codes of type kPath. [Base 2.1 §4.2.3.4]
enum class PathStatus : std::uint8_t {
  kInternalPathError = 0x00,
  kAnaPersistentLoss = 0x01,
  kAnaInaccessible = 0x02,
  kAnaTransition = 0x03,
  kControllerPathError = 0x60,
  kHostPathError = 0x70,
  kAbortedByHost = 0x71,
};

/// The 15 status bits: SC in 7:0, SCT in 10:8, CRD in 12:11, M in 13, DNR in 14. A value of 0 is
/// success. [Base 2.1 §4.2.3]
class NvmeStatus {
 public:
  constexpr NvmeStatus() = default;

  /// The low 15 bits of `bits` as they are.
  static constexpr NvmeStatus from_bits(std::uint16_t bits) {
    return NvmeStatus{static_cast<std::uint16_t>(bits & 0x7fff)};
  }
  /// `sc` of type `sct`; `dnr`: Do Not Retry.
  static constexpr NvmeStatus make(StatusCodeType sct, std::uint8_t sc, bool dnr = false) {
    return from_bits(
        static_cast<std::uint16_t>((static_cast<unsigned>(sct) << 8) | sc | (dnr ? kDnrBit : 0u)));
  }
  /// The status of a command that went well.
  static constexpr NvmeStatus success() { return {}; }
  ///@{
  /// A code with the type that it belongs to; `dnr`: Do Not Retry.
  static constexpr NvmeStatus make(GenericStatus sc, bool dnr = false) {
    return make(StatusCodeType::kGeneric, static_cast<std::uint8_t>(sc), dnr);
  }
  static constexpr NvmeStatus make(CommandStatus sc, bool dnr = false) {
    return make(StatusCodeType::kCommandSpecific, static_cast<std::uint8_t>(sc), dnr);
  }
  static constexpr NvmeStatus make(NvmStatusCode sc, bool dnr = false) {
    return make(StatusCodeType::kCommandSpecific, static_cast<std::uint8_t>(sc), dnr);
  }
  static constexpr NvmeStatus make(FabricsStatus sc, bool dnr = false) {
    return make(StatusCodeType::kCommandSpecific, static_cast<std::uint8_t>(sc), dnr);
  }
  static constexpr NvmeStatus make(MediaStatus sc, bool dnr = false) {
    return make(StatusCodeType::kMedia, static_cast<std::uint8_t>(sc), dnr);
  }
  static constexpr NvmeStatus make(PathStatus sc, bool dnr = false) {
    return make(StatusCodeType::kPath, static_cast<std::uint8_t>(sc), dnr);
  }
  ///@}

  /// All 15 bits.
  constexpr std::uint16_t bits() const { return bits_; }
  /// Whether the code is that of success.
  constexpr bool ok() const { return (bits_ & 0x7ff) == 0; }
  /// Status Code.
  constexpr std::uint8_t sc() const { return static_cast<std::uint8_t>(bits_); }
  /// Status Code Type.
  constexpr StatusCodeType sct() const { return static_cast<StatusCodeType>((bits_ >> 8) & 0x7); }
  /// Command Retry Delay: 0 for none, 1 to 3 choose CRDT1 to CRDT3 of Identify Controller.
  constexpr std::uint8_t crd() const { return static_cast<std::uint8_t>((bits_ >> 11) & 0x3); }
  /// M: the error information log has more.
  constexpr bool more() const { return (bits_ & kMoreBit) != 0; }
  /// DNR: the same command will fail again.
  constexpr bool dnr() const { return (bits_ & kDnrBit) != 0; }

  /// Type and code without CRD, M and DNR: what tables and switches look up.
  constexpr std::uint16_t code() const { return bits_ & 0x7ff; }
  /// Whether type and code are those of `sc`, whatever CRD, M and DNR are.
  template <typename Code>
  constexpr bool is(Code sc) const {
    return code() == make(sc).code();
  }

  friend constexpr bool operator==(NvmeStatus, NvmeStatus) = default;

 private:
  static constexpr std::uint16_t kMoreBit = 1u << 13;
  static constexpr std::uint16_t kDnrBit = 1u << 14;

  constexpr explicit NvmeStatus(std::uint16_t bits) : bits_(bits) {}

  std::uint16_t bits_ = 0;
};

static_assert(sizeof(NvmeStatus) == 2);
static_assert(std::is_trivially_copyable_v<NvmeStatus>);

}  // namespace nvublk::nvme::spec
