#pragma once

// Fabrics commands and their responses. [Base 2.1 §6]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"
#include "nvme/spec/cqe.h"
#include "nvme/spec/opcodes.h"
#include "nvme/spec/sgl.h"
#include "nvme/spec/sqe.h"

namespace nvublk::nvme::spec {

inline constexpr std::size_t kNqnFieldBytes = 256;  ///< of an NQN in a structure, NULs included
/// Without the terminating NUL. [Base 2.1 §4.7]
inline constexpr std::size_t kNqnMaxLength = 223;
/// The well-known name of the discovery subsystem. [Base 2.1 §4.7]
inline constexpr char kDiscoveryNqn[] = "nqn.2014-08.org.nvmexpress.discovery";
/// Connect with this controller id asks for any controller (dynamic model). [Base 2.1 §6.3]
inline constexpr std::uint16_t kCntlidDynamic = 0xffff;
/// A controller of the static model that the target chooses. [Base 2.1 §6.3]
inline constexpr std::uint16_t kCntlidStaticAny = 0xfffe;

/// Connect: makes a queue pair, and on the admin queue the association. [Base 2.1 §6.3]
struct ConnectCommand {
  std::uint8_t opcode = kFabricsOpcode;  ///< always the same
  std::uint8_t flags = static_cast<std::uint8_t>(Psdt::kSglContiguousMetadata)
                       << 6;  ///< PSDT: SGLs
  Le16 cid;                   ///< chosen by the host
  std::uint8_t fctype = static_cast<std::uint8_t>(FabricsCommandType::kConnect);  ///< Connect
  std::array<std::uint8_t, 19> reserved5{};
  SglDescriptor sgl;       ///< the 1024 bytes of ConnectData
  Le16 recfmt;             ///< 0
  Le16 qid;                ///< 0 is the admin queue
  Le16 sqsize;             ///< 0's based
  std::uint8_t cattr = 0;  ///< QPRIO in bits 1:0, and the bits below
  std::uint8_t reserved47 = 0;
  Le32 kato;  ///< keep alive timeout in milliseconds; admin queue only
  std::array<std::uint8_t, 12> reserved52{};

  /// cattr bit 2: the host asks that CQEs carry no SQ head pointer. [Base 2.1 §6.3]
  static constexpr std::uint8_t kDisableSqFlowControl = 1 << 2;
  /// cattr bit 3: I/O queues can be disconnected one by one. [Base 2.1 §6.3]
  static constexpr std::uint8_t kIndividualQueueDeletion = 1 << 3;

  /// How many entries the queue has (at least 2 in a valid command).
  constexpr std::uint32_t queue_entries() const { return sqsize.get() + 1u; }
  /// `entries` is 2 to 65536.
  constexpr void set_queue_entries(std::uint32_t entries) {
    sqsize = static_cast<std::uint16_t>(entries - 1);
  }
  /// Whether the host asks for that.
  constexpr bool disables_sq_flow_control() const { return (cattr & kDisableSqFlowControl) != 0; }
};

static_assert(sizeof(ConnectCommand) == 64);
static_assert(offsetof(ConnectCommand, fctype) == 4);
static_assert(offsetof(ConnectCommand, sgl) == 24);
static_assert(offsetof(ConnectCommand, recfmt) == 40);
static_assert(offsetof(ConnectCommand, qid) == 42);
static_assert(offsetof(ConnectCommand, sqsize) == 44);
static_assert(offsetof(ConnectCommand, cattr) == 46);
static_assert(offsetof(ConnectCommand, kato) == 48);
static_assert(std::is_trivially_copyable_v<ConnectCommand>);

/// The data of a Connect command: 1024 bytes, in the capsule. [Base 2.1 §6.3]
struct ConnectData {
  std::array<std::uint8_t, 16> hostid{};  ///< HOSTID
  Le16 cntlid;                            ///< of the controller; kCntlidDynamic: any
  std::array<std::uint8_t, 238> reserved18{};
  std::array<char, kNqnFieldBytes> subnqn{};   ///< NUL terminated
  std::array<char, kNqnFieldBytes> hostnqn{};  ///< NUL terminated
  std::array<std::uint8_t, 256> reserved768{};
};

static_assert(sizeof(ConnectData) == 1024);
static_assert(offsetof(ConnectData, cntlid) == 16);
static_assert(offsetof(ConnectData, subnqn) == 256);
static_assert(offsetof(ConnectData, hostnqn) == 512);
static_assert(std::is_trivially_copyable_v<ConnectData>);

/// What DW0 of a Connect response says when the status is success. [Base 2.1 §6.3]
struct ConnectResult {
  std::uint16_t cntlid = 0;                     ///< of the controller that the queue belongs to
  bool authentication_required = false;         ///< AUTHREQ.ATR
  bool secure_channel_concat_required = false;  ///< AUTHREQ.ASCR

  /// Reads DW0 of the completion.
  static constexpr ConnectResult decode(const CompletionEntry& entry) {
    return decode(entry.dw0.get());
  }
  /// Reads what encode() makes.
  static constexpr ConnectResult decode(std::uint32_t dw0) {
    return {static_cast<std::uint16_t>(dw0), (dw0 & (1u << 17)) != 0, (dw0 & (1u << 18)) != 0};
  }
  /// The DW0 that says this.
  constexpr std::uint32_t encode() const {
    return cntlid | (authentication_required ? 1u << 17 : 0u) |
           (secure_channel_concat_required ? 1u << 18 : 0u);
  }
};

/// What DW0 says when the status is Connect Invalid Parameters: which field the target refused.
/// [Base 2.1 §6.3]
struct ConnectInvalidParameter {
  std::uint16_t offset_bytes = 0;  ///< IPO: offset of the parameter
  bool in_data = false;            ///< IATTR bit 0: in ConnectData, otherwise in the SQE

  /// Reads DW0 of the completion.
  static constexpr ConnectInvalidParameter decode(const CompletionEntry& entry) {
    const std::uint32_t dw0 = entry.dw0.get();
    return {static_cast<std::uint16_t>(dw0), (dw0 & (1u << 16)) != 0};
  }
  /// The DW0 that says this.
  constexpr std::uint32_t encode() const { return offset_bytes | (in_data ? 1u << 16 : 0u); }
};

/// attrib bits 2:0 of the property commands. [Base 2.1 §6.5]
enum class PropertySize : std::uint8_t { k4Bytes = 0, k8Bytes = 1 };

/// Property Get; the value comes back in DW0 and DW1. [Base 2.1 §6.5]
struct PropertyGetCommand {
  std::uint8_t opcode = kFabricsOpcode;  ///< always the same
  std::uint8_t flags = static_cast<std::uint8_t>(Psdt::kSglContiguousMetadata)
                       << 6;  ///< PSDT: SGLs
  Le16 cid;                   ///< chosen by the host
  /// Property Get.
  std::uint8_t fctype = static_cast<std::uint8_t>(FabricsCommandType::kPropertyGet);
  std::array<std::uint8_t, 35> reserved5{};
  std::uint8_t attrib = 0;  ///< the size, in bits 2:0
  std::array<std::uint8_t, 3> reserved41{};
  Le32 ofst;  ///< of the property, in bytes
  std::array<std::uint8_t, 16> reserved48{};

  /// How large the property is.
  constexpr PropertySize size() const { return static_cast<PropertySize>(attrib & 0x7); }
};

static_assert(sizeof(PropertyGetCommand) == 64);
static_assert(offsetof(PropertyGetCommand, fctype) == 4);
static_assert(offsetof(PropertyGetCommand, attrib) == 40);
static_assert(offsetof(PropertyGetCommand, ofst) == 44);
static_assert(std::is_trivially_copyable_v<PropertyGetCommand>);

/// Property Set. [Base 2.1 §6.6]
struct PropertySetCommand {
  std::uint8_t opcode = kFabricsOpcode;  ///< always the same
  std::uint8_t flags = static_cast<std::uint8_t>(Psdt::kSglContiguousMetadata)
                       << 6;  ///< PSDT: SGLs
  Le16 cid;                   ///< chosen by the host
  /// Property Set.
  std::uint8_t fctype = static_cast<std::uint8_t>(FabricsCommandType::kPropertySet);
  std::array<std::uint8_t, 35> reserved5{};
  std::uint8_t attrib = 0;  ///< the size, in bits 2:0
  std::array<std::uint8_t, 3> reserved41{};
  Le32 ofst;   ///< of the property, in bytes
  Le64 value;  ///< what it becomes; of 4 bytes the low half counts
  std::array<std::uint8_t, 8> reserved56{};

  /// How large the property is.
  constexpr PropertySize size() const { return static_cast<PropertySize>(attrib & 0x7); }
};

static_assert(sizeof(PropertySetCommand) == 64);
static_assert(offsetof(PropertySetCommand, fctype) == 4);
static_assert(offsetof(PropertySetCommand, attrib) == 40);
static_assert(offsetof(PropertySetCommand, ofst) == 44);
static_assert(offsetof(PropertySetCommand, value) == 48);
static_assert(std::is_trivially_copyable_v<PropertySetCommand>);

/// Disconnect of one I/O queue. [Base 2.1 §6.4]
struct DisconnectCommand {
  std::uint8_t opcode = kFabricsOpcode;  ///< always the same
  std::uint8_t flags = static_cast<std::uint8_t>(Psdt::kSglContiguousMetadata)
                       << 6;  ///< PSDT: SGLs
  Le16 cid;                   ///< chosen by the host
  std::uint8_t fctype = static_cast<std::uint8_t>(FabricsCommandType::kDisconnect);  ///< Disconnect
  std::array<std::uint8_t, 35> reserved5{};
  Le16 recfmt;  ///< 0
  std::array<std::uint8_t, 22> reserved42{};
};

static_assert(sizeof(DisconnectCommand) == 64);
static_assert(offsetof(DisconnectCommand, fctype) == 4);
static_assert(offsetof(DisconnectCommand, recfmt) == 40);
static_assert(std::is_trivially_copyable_v<DisconnectCommand>);

/// Authentication Send and Receive have one form. [Base 2.1 §6.1, §6.2]
struct AuthenticationCommand {
  std::uint8_t opcode = kFabricsOpcode;  ///< always the same
  std::uint8_t flags = static_cast<std::uint8_t>(Psdt::kSglContiguousMetadata)
                       << 6;  ///< PSDT: SGLs
  Le16 cid;                   ///< chosen by the host
  /// Send, or Receive.
  std::uint8_t fctype = static_cast<std::uint8_t>(FabricsCommandType::kAuthenticationSend);
  std::array<std::uint8_t, 19> reserved5{};
  SglDescriptor sgl;  ///< the message's memory
  std::uint8_t reserved40 = 0;
  std::uint8_t spsp0 = 0;  ///< SPSP0, specific to the protocol
  std::uint8_t spsp1 = 0;  ///< SPSP1, specific to the protocol
  std::uint8_t secp = 0;   ///< SECP, the security protocol
  Le32 length;             ///< TL of Send, AL of Receive, in bytes
  std::array<std::uint8_t, 16> reserved48{};
};

static_assert(sizeof(AuthenticationCommand) == 64);
static_assert(offsetof(AuthenticationCommand, sgl) == 24);
static_assert(offsetof(AuthenticationCommand, spsp0) == 41);
static_assert(offsetof(AuthenticationCommand, secp) == 43);
static_assert(offsetof(AuthenticationCommand, length) == 44);
static_assert(std::is_trivially_copyable_v<AuthenticationCommand>);

}  // namespace nvublk::nvme::spec
