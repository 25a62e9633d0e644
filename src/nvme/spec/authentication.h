#pragma once

// The messages of NVMe in-band authentication and of its protocol DH-HMAC-CHAP, which travel as the
// data of Authentication Send and Receive. [Base 2.3 §8.3.5]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"

namespace nvublk::nvme::spec {

/// SECP of the authentication commands: the security protocol of NVMe. [Base 2.3 §8.3.5.2]
inline constexpr std::uint8_t kAuthenticationSecp = 0xe9;
/// SPSP0 and SPSP1 of the authentication commands. [Base 2.3 §8.3.5.2]
inline constexpr std::uint8_t kAuthenticationSpsp = 0x01;
/// Room for the largest message, which is a Reply with a group of 8192 bits.
inline constexpr std::size_t kAuthenticationMaxBytes = 4096;

/// AUTH_TYPE: whose AUTH_IDs follow. [Base 2.3 §8.3.5.3]
enum class AuthType : std::uint8_t { kCommon = 0x00, kDhchap = 0x01 };

///@{
/// AUTH_ID of messages of AuthType::kCommon. [Base 2.3 §8.3.5.4]
inline constexpr std::uint8_t kAuthNegotiate = 0x00;
inline constexpr std::uint8_t kAuthFailure2 = 0xf0;  ///< from the host
inline constexpr std::uint8_t kAuthFailure1 = 0xf1;  ///< from the controller
///@}

///@{
/// AUTH_ID of messages of AuthType::kDhchap. [Base 2.3 §8.3.5.5]
inline constexpr std::uint8_t kDhchapChallenge = 0x01;
inline constexpr std::uint8_t kDhchapReply = 0x02;
inline constexpr std::uint8_t kDhchapSuccess1 = 0x03;
inline constexpr std::uint8_t kDhchapSuccess2 = 0x04;
///@}

/// Hash functions, of messages and of keys. [Base 2.3 §8.3.5.5.2]
enum class DhchapHash : std::uint8_t { kSha256 = 1, kSha384 = 2, kSha512 = 3 };

/// Diffie-Hellman groups: those of RFC 7919, or none. [Base 2.3 §8.3.5.5.2]
enum class DhchapGroup : std::uint8_t {
  kNull = 0,
  kFfdhe2048 = 1,
  kFfdhe3072 = 2,
  kFfdhe4096 = 3,
  kFfdhe6144 = 4,
  kFfdhe8192 = 5,
};

/// SC_C: secure channel concatenation. [Base 2.3 §8.3.5.4]
inline constexpr std::uint8_t kNoSecureChannel = 0;

/// What all messages begin with. [Base 2.3 §8.3.5.3]
struct AuthHeader {
  std::uint8_t type = 0;  ///< AUTH_TYPE
  std::uint8_t id = 0;    ///< AUTH_ID
  Le16 reserved2;         ///< 0
  Le16 transaction;       ///< T_ID, chosen by the host in AUTH_Negotiate
};
static_assert(sizeof(AuthHeader) == 6);

/// One protocol that the host offers: DH-HMAC-CHAP. [Base 2.3 §8.3.5.5.2]
struct DhchapDescriptor {
  std::uint8_t authid = static_cast<std::uint8_t>(AuthType::kDhchap);  ///< always the same
  std::uint8_t reserved1 = 0;
  std::uint8_t halen = 0;                 ///< used entries of `hashes`
  std::uint8_t dhlen = 0;                 ///< used entries of `groups`
  std::array<std::uint8_t, 30> hashes{};  ///< in descending order of preference
  std::array<std::uint8_t, 30> groups{};  ///< in descending order of preference
};
static_assert(sizeof(DhchapDescriptor) == 64);
static_assert(offsetof(DhchapDescriptor, groups) == 34);

/// AUTH_Negotiate, with one protocol. [Base 2.3 §8.3.5.4]
struct AuthNegotiate {
  AuthHeader header;                     ///< of this message
  std::uint8_t sc_c = kNoSecureChannel;  ///< SC_C
  std::uint8_t napd = 1;                 ///< how many protocols are offered
  DhchapDescriptor protocol;             ///< the first of them
};
static_assert(sizeof(AuthNegotiate) == 72);
static_assert(offsetof(AuthNegotiate, protocol) == 8);

/// DH-HMAC-CHAP_Challenge; then follow `hl` bytes of the challenge C1 and `dhvlen` bytes of the
/// controller's Diffie-Hellman value. [Base 2.3 §8.3.5.5.3]
struct DhchapChallenge {
  AuthHeader header;    ///< of this message
  std::uint8_t hl = 0;  ///< bytes of a hash
  std::uint8_t reserved7 = 0;
  std::uint8_t hashid = 0;  ///< a DhchapHash
  std::uint8_t dhgid = 0;   ///< a DhchapGroup
  Le16 dhvlen;              ///< 0 without a group
  Le32 seqnum;              ///< S1
};
static_assert(sizeof(DhchapChallenge) == 16);
static_assert(offsetof(DhchapChallenge, dhvlen) == 10);

/// DH-HMAC-CHAP_Reply; then follow `hl` bytes of the host's response, `hl` bytes of the challenge
/// C2 (whether it is valid or not), and `dhvlen` bytes of the host's Diffie-Hellman value.
/// [Base 2.3 §8.3.5.5.4]
struct DhchapReply {
  AuthHeader header;    ///< of this message
  std::uint8_t hl = 0;  ///< bytes of a hash
  std::uint8_t reserved7 = 0;
  std::uint8_t cvalid = 0;  ///< 1: C2 is valid, the controller has to respond to it
  std::uint8_t reserved9 = 0;
  Le16 dhvlen;  ///< 0 without a group
  Le32 seqnum;  ///< S2; 0: the controller is not authenticated
};
static_assert(sizeof(DhchapReply) == 16);
static_assert(offsetof(DhchapReply, seqnum) == 12);

/// DH-HMAC-CHAP_Success1; then follow `hl` bytes of the controller's response, if `rvalid`.
/// [Base 2.3 §8.3.5.5.5]
struct DhchapSuccess1 {
  AuthHeader header;    ///< of this message
  std::uint8_t hl = 0;  ///< bytes of a hash
  std::uint8_t reserved7 = 0;
  std::uint8_t rvalid = 0;  ///< 1: the response is valid
  std::array<std::uint8_t, 7> reserved9{};
};
static_assert(sizeof(DhchapSuccess1) == 16);

/// DH-HMAC-CHAP_Success2. [Base 2.3 §8.3.5.5.6]
struct DhchapSuccess2 {
  AuthHeader header;  ///< of this message
  std::array<std::uint8_t, 10> reserved6{};
};
static_assert(sizeof(DhchapSuccess2) == 16);

/// Reason Code Explanation of a failure. [Base 2.3 §8.3.5.4]
enum class AuthFailureReason : std::uint8_t {
  kFailed = 0x01,
  kProtocolUnusable = 0x02,
  kSecureChannelMismatch = 0x03,
  kHashUnusable = 0x04,
  kGroupUnusable = 0x05,
  kIncorrectPayload = 0x06,
  kIncorrectMessage = 0x07,
};
/// The only Reason Code. [Base 2.3 §8.3.5.4]
inline constexpr std::uint8_t kAuthenticationFailure = 0x01;

/// AUTH_Failure1 and AUTH_Failure2. [Base 2.3 §8.3.5.4]
struct AuthFailure {
  AuthHeader header;                             ///< of this message
  std::uint8_t reason = kAuthenticationFailure;  ///< Reason Code
  std::uint8_t explanation = 0;                  ///< an AuthFailureReason
};
static_assert(sizeof(AuthFailure) == 8);
static_assert(std::is_trivially_copyable_v<AuthNegotiate> &&
              std::is_trivially_copyable_v<DhchapChallenge> &&
              std::is_trivially_copyable_v<DhchapReply> &&
              std::is_trivially_copyable_v<DhchapSuccess1> &&
              std::is_trivially_copyable_v<AuthFailure>);

}  // namespace nvublk::nvme::spec
