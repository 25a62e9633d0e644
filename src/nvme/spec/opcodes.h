#pragma once

// Command opcodes. An opcode's two low bits say which way its data goes, whatever the command set.

#include <cstdint>

namespace nvublk::nvme::spec {

/// Opcodes of the Admin command set. [Base 2.1 §5, figure "Opcodes for Admin Commands"]
enum class AdminOpcode : std::uint8_t {
  kDeleteIoSubmissionQueue = 0x00,
  kCreateIoSubmissionQueue = 0x01,
  kGetLogPage = 0x02,
  kDeleteIoCompletionQueue = 0x04,
  kCreateIoCompletionQueue = 0x05,
  kIdentify = 0x06,
  kAbort = 0x08,
  kSetFeatures = 0x09,
  kGetFeatures = 0x0a,
  kAsyncEventRequest = 0x0c,
  kNamespaceManagement = 0x0d,
  kFirmwareCommit = 0x10,
  kFirmwareImageDownload = 0x11,
  kDeviceSelfTest = 0x14,
  kNamespaceAttachment = 0x15,
  kKeepAlive = 0x18,
  kDirectiveSend = 0x19,
  kDirectiveReceive = 0x1a,
  kVirtualizationManagement = 0x1c,
  kNvmeMiSend = 0x1d,
  kNvmeMiReceive = 0x1e,
  kCapacityManagement = 0x20,
  kLockdown = 0x24,
  kDoorbellBufferConfig = 0x7c,
  kFabrics = 0x7f,
  kFormatNvm = 0x80,
  kSecuritySend = 0x81,
  kSecurityReceive = 0x82,
  kSanitize = 0x84,
  kGetLbaStatus = 0x86,
  kVendorSpecificFirst = 0xc0,
};

/// Opcodes of the NVM command set and of the I/O commands that all sets share.
/// [NVM 1.1 §3.2] [Base 2.1 §7]
enum class NvmOpcode : std::uint8_t {
  kFlush = 0x00,
  kWrite = 0x01,
  kRead = 0x02,
  kWriteUncorrectable = 0x04,
  kCompare = 0x05,
  kWriteZeroes = 0x08,
  kDatasetManagement = 0x09,
  kVerify = 0x0c,
  kReservationRegister = 0x0d,
  kReservationReport = 0x0e,
  kReservationAcquire = 0x11,
  kIoManagementReceive = 0x12,
  kReservationRelease = 0x15,
  kCancel = 0x18,
  kCopy = 0x19,
  kIoManagementSend = 0x1d,
  kZoneManagementSend = 0x79,
  kZoneManagementReceive = 0x7a,
  kZoneAppend = 0x7d,
};

/// The one opcode of all Fabrics commands, valid on every queue. [Base 2.1 §6]
inline constexpr std::uint8_t kFabricsOpcode = 0x7f;

/// Fabrics command types, byte 4 of the SQE when the opcode is kFabricsOpcode. [Base 2.1 §6]
enum class FabricsCommandType : std::uint8_t {
  kPropertySet = 0x00,
  kConnect = 0x01,
  kPropertyGet = 0x04,
  kAuthenticationSend = 0x05,
  kAuthenticationReceive = 0x06,
  kDisconnect = 0x08,
  kVendorSpecificFirst = 0xc0,
};

/// Which way the data of a command goes: bits 1:0 of the opcode, or of fctype for Fabrics commands.
/// [Base 2.1 §4.1.1]
enum class DataDirection : std::uint8_t {
  kNone = 0,
  kHostToController = 1,
  kControllerToHost = 2,
  kBidirectional = 3,
};

/// The direction that `opcode` (or, for Fabrics commands, `fctype`) encodes.
constexpr DataDirection data_direction(std::uint8_t opcode_or_fctype) {
  return static_cast<DataDirection>(opcode_or_fctype & 0x3);
}

inline constexpr std::uint32_t kNsidNone = 0;  ///< where a command is of no namespace
/// Where a command is of all namespaces.
inline constexpr std::uint32_t kNsidBroadcast = 0xffffffff;

/// Command Set Identifier. [Base 2.1 §5.1.13, figure "Command Set Identifiers"]
enum class CommandSetIdentifier : std::uint8_t { kNvm = 0, kKeyValue = 1, kZonedNamespace = 2 };

}  // namespace nvublk::nvme::spec
