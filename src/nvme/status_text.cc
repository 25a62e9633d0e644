#include "nvme/status_text.h"

#include <cstdint>
#include <cstdio>
#include <span>

namespace nvublk::nvme {
namespace {

using spec::CommandStatus;
using spec::FabricsStatus;
using spec::GenericStatus;
using spec::MediaStatus;
using spec::NvmeStatus;
using spec::NvmStatusCode;
using spec::PathStatus;

struct Row {
  std::uint16_t code;
  std::string_view name;
  std::string_view text;
};

template <typename Code>
constexpr std::uint16_t code_of(Code code) {
  return NvmeStatus::make(code).code();
}

// [Base 2.1 §4.2.3] [NVM 1.1 §3.1]
constexpr Row kRows[] = {
    {code_of(GenericStatus::kSuccess), "SUCCESS", "success"},
    {code_of(GenericStatus::kInvalidOpcode), "INVALID_OPCODE",
     "the controller does not know the command"},
    {code_of(GenericStatus::kInvalidField), "INVALID_FIELD",
     "a field of the command has a value that the controller does not accept"},
    {code_of(GenericStatus::kCommandIdConflict), "COMMAND_ID_CONFLICT",
     "the command identifier is already in use"},
    {code_of(GenericStatus::kDataTransferError), "DATA_TRANSFER_ERROR",
     "the data or metadata could not be transferred"},
    {code_of(GenericStatus::kAbortedPowerLoss), "ABORTED_POWER_LOSS",
     "aborted because the power is about to fail"},
    {code_of(GenericStatus::kInternalError), "INTERNAL_ERROR",
     "the controller had an internal error"},
    {code_of(GenericStatus::kAbortRequested), "ABORT_REQUESTED", "aborted at the host's request"},
    {code_of(GenericStatus::kAbortedSqDeletion), "ABORTED_SQ_DELETION",
     "aborted because its queue was deleted"},
    {code_of(GenericStatus::kAbortedFailedFused), "ABORTED_FAILED_FUSED",
     "aborted because the other fused command failed"},
    {code_of(GenericStatus::kAbortedMissingFused), "ABORTED_MISSING_FUSED",
     "aborted because the other fused command is missing"},
    {code_of(GenericStatus::kInvalidNamespaceOrFormat), "INVALID_NAMESPACE_OR_FORMAT",
     "the namespace does not exist or its format is not valid"},
    {code_of(GenericStatus::kCommandSequenceError), "COMMAND_SEQUENCE_ERROR",
     "the command may not come at this point of a sequence"},
    {code_of(GenericStatus::kInvalidSglSegment), "INVALID_SGL_SEGMENT",
     "the SGL has an invalid segment descriptor"},
    {code_of(GenericStatus::kInvalidSglCount), "INVALID_SGL_COUNT",
     "the SGL has an invalid number of descriptors"},
    {code_of(GenericStatus::kDataSglLengthInvalid), "DATA_SGL_LENGTH_INVALID",
     "the length of the data SGL does not fit the command"},
    {code_of(GenericStatus::kMetadataSglLengthInvalid), "METADATA_SGL_LENGTH_INVALID",
     "the length of the metadata SGL does not fit the command"},
    {code_of(GenericStatus::kSglTypeInvalid), "SGL_TYPE_INVALID",
     "the controller does not support the SGL descriptor's type"},
    {code_of(GenericStatus::kInvalidUseOfCmb), "INVALID_USE_OF_CMB",
     "the controller memory buffer cannot be used so"},
    {code_of(GenericStatus::kPrpOffsetInvalid), "PRP_OFFSET_INVALID",
     "the offset of a PRP entry is not valid"},
    {code_of(GenericStatus::kAtomicWriteUnitExceeded), "ATOMIC_WRITE_UNIT_EXCEEDED",
     "the write is longer than the atomic write unit"},
    {code_of(GenericStatus::kOperationDenied), "OPERATION_DENIED",
     "the host has no right to do this"},
    {code_of(GenericStatus::kSglOffsetInvalid), "SGL_OFFSET_INVALID",
     "the offset of an SGL descriptor is not valid"},
    {code_of(GenericStatus::kHostIdInconsistent), "HOST_ID_INCONSISTENT",
     "the host identifier has another format than those of the subsystem's other hosts"},
    {code_of(GenericStatus::kKeepAliveExpired), "KEEP_ALIVE_EXPIRED",
     "the keep alive timer has expired"},
    {code_of(GenericStatus::kKeepAliveInvalid), "KEEP_ALIVE_INVALID",
     "the controller does not accept the keep alive timeout"},
    {code_of(GenericStatus::kAbortedPreempt), "ABORTED_PREEMPT",
     "aborted because another host preempted the reservation"},
    {code_of(GenericStatus::kSanitizeFailed), "SANITIZE_FAILED",
     "the last sanitize operation failed and nothing has recovered it"},
    {code_of(GenericStatus::kSanitizeInProgress), "SANITIZE_IN_PROGRESS",
     "a sanitize operation is in progress"},
    {code_of(GenericStatus::kSglGranularityInvalid), "SGL_GRANULARITY_INVALID",
     "the address or length of an SGL data block is not aligned"},
    {code_of(GenericStatus::kCommandNotSupportedInCmb), "COMMAND_NOT_SUPPORTED_IN_CMB",
     "the command may not be in a queue in the controller memory buffer"},
    {code_of(GenericStatus::kNamespaceWriteProtected), "NAMESPACE_WRITE_PROTECTED",
     "the namespace is write protected"},
    {code_of(GenericStatus::kCommandInterrupted), "COMMAND_INTERRUPTED",
     "the controller interrupted the command; it can be sent again"},
    {code_of(GenericStatus::kTransientTransportError), "TRANSIENT_TRANSPORT_ERROR",
     "the transport had a transient error, such as a wrong digest"},
    {code_of(GenericStatus::kProhibitedByLockdown), "PROHIBITED_BY_LOCKDOWN",
     "lockdown prohibits the command"},
    {code_of(GenericStatus::kAdminMediaNotReady), "ADMIN_MEDIA_NOT_READY",
     "the media that the command needs is not ready"},
    {code_of(GenericStatus::kInvalidKeyTag), "INVALID_KEY_TAG",
     "the key tag does not name a media encryption key"},
    {code_of(GenericStatus::kHostDispersedNotEnabled), "HOST_DISPERSED_NOT_ENABLED",
     "the host has not enabled dispersed namespaces"},
    {code_of(GenericStatus::kHostIdNotInitialized), "HOST_ID_NOT_INITIALIZED",
     "the host has not set its identifier"},
    {code_of(GenericStatus::kIncorrectKey), "INCORRECT_KEY",
     "the media encryption key is not the right one"},
    {code_of(GenericStatus::kFdpDisabled), "FDP_DISABLED", "flexible data placement is disabled"},
    {code_of(GenericStatus::kInvalidPlacementHandleList), "INVALID_PLACEMENT_HANDLE_LIST",
     "the placement handle list is not valid"},
    {code_of(GenericStatus::kLbaOutOfRange), "LBA_OUT_OF_RANGE",
     "the LBA is beyond the end of the namespace"},
    {code_of(GenericStatus::kCapacityExceeded), "CAPACITY_EXCEEDED",
     "the namespace has no capacity left"},
    {code_of(GenericStatus::kNamespaceNotReady), "NAMESPACE_NOT_READY",
     "the namespace is not ready"},
    {code_of(GenericStatus::kReservationConflict), "RESERVATION_CONFLICT",
     "another host's reservation forbids the command"},
    {code_of(GenericStatus::kFormatInProgress), "FORMAT_IN_PROGRESS",
     "the namespace is being formatted"},

    {code_of(CommandStatus::kCompletionQueueInvalid), "COMPLETION_QUEUE_INVALID",
     "the completion queue does not exist"},
    {code_of(CommandStatus::kInvalidQueueIdentifier), "INVALID_QUEUE_IDENTIFIER",
     "the queue identifier is not valid or in use"},
    {code_of(CommandStatus::kInvalidQueueSize), "INVALID_QUEUE_SIZE",
     "the controller does not accept the queue size"},
    {code_of(CommandStatus::kAbortLimitExceeded), "ABORT_LIMIT_EXCEEDED",
     "too many Abort commands at a time"},
    {code_of(CommandStatus::kAsyncEventLimitExceeded), "ASYNC_EVENT_LIMIT_EXCEEDED",
     "too many Asynchronous Event Requests at a time"},
    {code_of(CommandStatus::kInvalidFirmwareSlot), "INVALID_FIRMWARE_SLOT",
     "the firmware slot does not exist or is read only"},
    {code_of(CommandStatus::kInvalidFirmwareImage), "INVALID_FIRMWARE_IMAGE",
     "the firmware image is not valid"},
    {code_of(CommandStatus::kInvalidInterruptVector), "INVALID_INTERRUPT_VECTOR",
     "the interrupt vector is not valid"},
    {code_of(CommandStatus::kInvalidLogPage), "INVALID_LOG_PAGE",
     "the controller does not have the log page"},
    {code_of(CommandStatus::kInvalidFormat), "INVALID_FORMAT",
     "the controller does not support the format"},
    {code_of(CommandStatus::kFirmwareNeedsConventionalReset), "FIRMWARE_NEEDS_CONVENTIONAL_RESET",
     "the firmware starts to run at a conventional reset"},
    {code_of(CommandStatus::kInvalidQueueDeletion), "INVALID_QUEUE_DELETION",
     "the queue cannot be deleted now"},
    {code_of(CommandStatus::kFeatureNotSaveable), "FEATURE_NOT_SAVEABLE",
     "the feature cannot be saved"},
    {code_of(CommandStatus::kFeatureNotChangeable), "FEATURE_NOT_CHANGEABLE",
     "the feature cannot be changed"},
    {code_of(CommandStatus::kFeatureNotNamespaceSpecific), "FEATURE_NOT_NAMESPACE_SPECIFIC",
     "the feature is not one of a namespace"},
    {code_of(CommandStatus::kFirmwareNeedsSubsystemReset), "FIRMWARE_NEEDS_SUBSYSTEM_RESET",
     "the firmware starts to run at a subsystem reset"},
    {code_of(CommandStatus::kFirmwareNeedsControllerReset), "FIRMWARE_NEEDS_CONTROLLER_RESET",
     "the firmware starts to run at a controller reset"},
    {code_of(CommandStatus::kFirmwareNeedsMaxTime), "FIRMWARE_NEEDS_MAX_TIME",
     "activating the firmware takes longer than the controller may"},
    {code_of(CommandStatus::kFirmwareActivationProhibited), "FIRMWARE_ACTIVATION_PROHIBITED",
     "the firmware may not be activated"},
    {code_of(CommandStatus::kOverlappingRange), "OVERLAPPING_RANGE",
     "ranges of the firmware image overlap"},
    {code_of(CommandStatus::kNamespaceInsufficientCapacity), "NAMESPACE_INSUFFICIENT_CAPACITY",
     "there is not enough capacity for the namespace"},
    {code_of(CommandStatus::kNamespaceIdUnavailable), "NAMESPACE_ID_UNAVAILABLE",
     "there are no more namespace identifiers"},
    {code_of(CommandStatus::kNamespaceAlreadyAttached), "NAMESPACE_ALREADY_ATTACHED",
     "the namespace is already attached to the controller"},
    {code_of(CommandStatus::kNamespaceIsPrivate), "NAMESPACE_IS_PRIVATE",
     "the namespace is private to another controller"},
    {code_of(CommandStatus::kNamespaceNotAttached), "NAMESPACE_NOT_ATTACHED",
     "the namespace is not attached to the controller"},
    {code_of(CommandStatus::kThinProvisioningNotSupported), "THIN_PROVISIONING_NOT_SUPPORTED",
     "the controller does not support thin provisioning"},
    {code_of(CommandStatus::kControllerListInvalid), "CONTROLLER_LIST_INVALID",
     "the controller list is not valid"},
    {code_of(CommandStatus::kSelfTestInProgress), "SELF_TEST_IN_PROGRESS",
     "a device self-test is in progress"},
    {code_of(CommandStatus::kBootPartitionWriteProhibited), "BOOT_PARTITION_WRITE_PROHIBITED",
     "the boot partition may not be written"},
    {code_of(CommandStatus::kInvalidControllerId), "INVALID_CONTROLLER_ID",
     "the controller identifier is not valid"},
    {code_of(CommandStatus::kInvalidSecondaryControllerState), "INVALID_SECONDARY_CONTROLLER_STATE",
     "the secondary controller is in the wrong state"},
    {code_of(CommandStatus::kInvalidControllerResources), "INVALID_CONTROLLER_RESOURCES",
     "the number of controller resources is not valid"},
    {code_of(CommandStatus::kInvalidResourceId), "INVALID_RESOURCE_ID",
     "the resource identifier is not valid"},
    {code_of(CommandStatus::kSanitizeProhibitedWithPmr), "SANITIZE_PROHIBITED_WITH_PMR",
     "sanitizing is prohibited while the persistent memory region is enabled"},
    {code_of(CommandStatus::kAnaGroupIdInvalid), "ANA_GROUP_ID_INVALID",
     "the ANA group identifier is not valid"},
    {code_of(CommandStatus::kAnaAttachFailed), "ANA_ATTACH_FAILED",
     "the ANA state does not allow the namespace to be attached"},
    {code_of(CommandStatus::kInsufficientCapacity), "INSUFFICIENT_CAPACITY",
     "there is not enough capacity"},
    {code_of(CommandStatus::kNamespaceAttachmentLimitExceeded),
     "NAMESPACE_ATTACHMENT_LIMIT_EXCEEDED", "too many namespaces are attached"},
    {code_of(CommandStatus::kLockdownNotSupported), "LOCKDOWN_NOT_SUPPORTED",
     "this command cannot be prohibited"},
    {code_of(CommandStatus::kCommandSetNotSupported), "COMMAND_SET_NOT_SUPPORTED",
     "the controller does not support the I/O command set"},
    {code_of(CommandStatus::kCommandSetNotEnabled), "COMMAND_SET_NOT_ENABLED",
     "the I/O command set is not enabled"},
    {code_of(CommandStatus::kCommandSetCombinationRejected), "COMMAND_SET_COMBINATION_REJECTED",
     "the controller does not support this combination of I/O command sets"},
    {code_of(CommandStatus::kInvalidCommandSet), "INVALID_COMMAND_SET",
     "the I/O command set is not valid"},
    {code_of(CommandStatus::kIdentifierUnavailable), "IDENTIFIER_UNAVAILABLE",
     "there are no more identifiers"},
    {code_of(CommandStatus::kStreamAllocationFailed), "STREAM_RESOURCE_ALLOCATION_FAILED",
     "the controller has no streams left"},

    {code_of(NvmStatusCode::kConflictingAttributes), "CONFLICTING_ATTRIBUTES",
     "the attributes of the command conflict"},
    {code_of(NvmStatusCode::kInvalidProtectionInformation), "INVALID_PROTECTION_INFORMATION",
     "the protection settings do not fit the namespace's format"},
    {code_of(NvmStatusCode::kWriteToReadOnlyRange), "WRITE_TO_READ_ONLY_RANGE",
     "blocks of the range are read only"},
    {code_of(NvmStatusCode::kCommandSizeLimitExceeded), "COMMAND_SIZE_LIMIT_EXCEEDED",
     "the command covers more than the controller's limit"},
    {code_of(NvmStatusCode::kZoneBoundaryError), "ZONE_BOUNDARY_ERROR",
     "the command crosses a zone boundary"},
    {code_of(NvmStatusCode::kZoneFull), "ZONE_FULL", "the zone is full"},
    {code_of(NvmStatusCode::kZoneReadOnly), "ZONE_READ_ONLY", "the zone is read only"},
    {code_of(NvmStatusCode::kZoneOffline), "ZONE_OFFLINE", "the zone is offline"},
    {code_of(NvmStatusCode::kZoneInvalidWrite), "ZONE_INVALID_WRITE",
     "the write is not at the zone's write pointer"},
    {code_of(NvmStatusCode::kTooManyActiveZones), "TOO_MANY_ACTIVE_ZONES",
     "too many zones are active"},
    {code_of(NvmStatusCode::kTooManyOpenZones), "TOO_MANY_OPEN_ZONES", "too many zones are open"},
    {code_of(NvmStatusCode::kInvalidZoneTransition), "INVALID_ZONE_TRANSITION",
     "the zone cannot go to that state"},
    {code_of(FabricsStatus::kDiscoverRestart), "DISCOVER_RESTART",
     "the discovery log has changed; it has to be read again"},
    {code_of(FabricsStatus::kAuthenticationRequired), "AUTHENTICATION_REQUIRED",
     "the target wants the host to authenticate first"},

    {code_of(MediaStatus::kWriteFault), "WRITE_FAULT",
     "the data could not be written to the media"},
    {code_of(MediaStatus::kUnrecoveredReadError), "UNRECOVERED_READ_ERROR",
     "the data could not be read from the media"},
    {code_of(MediaStatus::kGuardCheckError), "GUARD_CHECK_ERROR", "the guard check failed"},
    {code_of(MediaStatus::kApplicationTagCheckError), "APPLICATION_TAG_CHECK_ERROR",
     "the application tag check failed"},
    {code_of(MediaStatus::kReferenceTagCheckError), "REFERENCE_TAG_CHECK_ERROR",
     "the reference tag check failed"},
    {code_of(MediaStatus::kCompareFailure), "COMPARE_FAILURE", "the data compared is different"},
    {code_of(MediaStatus::kAccessDenied), "ACCESS_DENIED",
     "access to the namespace or range is denied"},
    {code_of(MediaStatus::kDeallocatedOrUnwritten), "DEALLOCATED_OR_UNWRITTEN",
     "the blocks are deallocated or were never written"},
    {code_of(MediaStatus::kStorageTagCheckError), "STORAGE_TAG_CHECK_ERROR",
     "the storage tag check failed"},

    {code_of(PathStatus::kInternalPathError), "INTERNAL_PATH_ERROR",
     "the controller had an internal error on this path"},
    {code_of(PathStatus::kAnaPersistentLoss), "ANA_PERSISTENT_LOSS",
     "the namespace is lost on this path for good"},
    {code_of(PathStatus::kAnaInaccessible), "ANA_INACCESSIBLE",
     "the namespace cannot be accessed on this path"},
    {code_of(PathStatus::kAnaTransition), "ANA_TRANSITION",
     "the namespace's access state is changing"},
    {code_of(PathStatus::kControllerPathError), "CONTROLLER_PATH_ERROR",
     "the controller found an error on the path"},
    {code_of(PathStatus::kHostPathError), "HOST_PATH_ERROR", "the host lost the path"},
    {code_of(PathStatus::kAbortedByHost), "ABORTED_BY_HOST", "aborted by the host"},
};

// What the codes that two command sets share mean for Fabrics commands. [Base 2.1 §4.2.3]
constexpr Row kFabricsRows[] = {
    {code_of(FabricsStatus::kIncompatibleFormat), "CONNECT_INCOMPATIBLE_FORMAT",
     "the target does not support the format of the Connect command"},
    {code_of(FabricsStatus::kControllerBusy), "CONNECT_CONTROLLER_BUSY",
     "the target has no controller or queue free at the moment"},
    {code_of(FabricsStatus::kInvalidParameters), "CONNECT_INVALID_PARAMETERS",
     "the target refused a parameter of the Connect command"},
    {code_of(FabricsStatus::kRestartDiscovery), "CONNECT_RESTART_DISCOVERY",
     "the subsystem has moved; discovery has to be repeated"},
    {code_of(FabricsStatus::kInvalidHost), "CONNECT_INVALID_HOST",
     "the target does not allow this host"},
    {code_of(FabricsStatus::kInvalidQueueType), "DISCONNECT_INVALID_QUEUE_TYPE",
     "this kind of queue cannot be disconnected"},
};

const Row* find(std::span<const Row> rows, std::uint16_t code) {
  for (const Row& row : rows) {
    if (row.code == code) return &row;
  }
  return nullptr;
}

const Row* find(NvmeStatus status, StatusOf of) {
  if (of == StatusOf::kFabricsCommand) {
    if (const Row* row = find(kFabricsRows, status.code())) return row;
  }
  return find(kRows, status.code());
}

}  // namespace

std::string_view status_name(NvmeStatus status, StatusOf of) {
  const Row* row = find(status, of);
  return row == nullptr ? std::string_view{} : row->name;
}

std::string status_text(NvmeStatus status, StatusOf of) {
  if (status.ok()) return "success";
  const Row* row = find(status, of);
  std::string text(row == nullptr ? "the controller reported an unknown error" : row->text);
  text += " (";
  if (row != nullptr) text += std::string(row->name) + ", ";
  char numbers[32];
  std::snprintf(numbers, sizeof(numbers), "type %xh code %02xh",
                static_cast<unsigned>(status.sct()), static_cast<unsigned>(status.sc()));
  text += numbers;
  text += status.dnr() ? ", do not retry)" : ")";
  return text;
}

}  // namespace nvublk::nvme
