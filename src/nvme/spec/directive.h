#pragma once

// Directives: Identify and Streams. [Base 2.1 §5.1.6, §5.1.7, §8.1.8]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"

namespace nvublk::nvme::spec {

/// DTYPE. [Base 2.1 §8.1.8]
enum class DirectiveType : std::uint8_t { kIdentify = 0, kStreams = 1, kDataPlacement = 2 };

/// DOPER of Directive Receive: Return Parameters is of both types. [Base 2.1 §8.1.8.2, §8.1.8.3]
enum class DirectiveReceiveOperation : std::uint8_t {
  kReturnParameters = 1,
  kStreamsStatus = 2,
  kStreamsAllocate = 3,
};
/// DOPER of Directive Send with the type Identify. [Base 2.1 §8.1.8.2.2]
inline constexpr std::uint8_t kDirectiveEnable = 1;
/// DOPER of Directive Send with the type Streams. [Base 2.1 §8.1.8.3.2]
enum class StreamsSendOperation : std::uint8_t { kReleaseIdentifier = 1, kReleaseResources = 2 };

/// CDW12 of Enable Directive. [Base 2.1 §8.1.8.2.2.1]
constexpr std::uint32_t directive_enable_cdw12(DirectiveType type, bool enable) {
  return (static_cast<std::uint32_t>(type) << 8) | (enable ? 1u : 0u);
}

/// What Return Parameters of the Identify directive returns. [Base 2.1 §8.1.8.2.1.1]
struct DirectiveParameters {
  ///@{
  /// A bit for each type: supported, enabled, and enabled also after a Controller Level Reset.
  std::array<std::uint8_t, 32> supported{};
  std::array<std::uint8_t, 32> enabled{};
  std::array<std::uint8_t, 32> persistent{};
  ///@}
  std::array<std::uint8_t, 4000> reserved96{};

  /// Whether `field` has the bit of `type`.
  static constexpr bool has(const std::array<std::uint8_t, 32>& field, DirectiveType type) {
    return (field[0] & (1u << static_cast<unsigned>(type))) != 0;
  }
};

static_assert(sizeof(DirectiveParameters) == 4096);
static_assert(std::is_trivially_copyable_v<DirectiveParameters>);

/// What Return Parameters of the Streams directive returns. [Base 2.1 §8.1.8.3.1.1]
struct StreamsParameters {
  Le16 msl;               ///< most streams that can be open in the subsystem
  Le16 nssa;              ///< streams of the subsystem that no namespace has for itself
  Le16 nsso;              ///< open ones of those
  std::uint8_t nssc = 0;  ///< bit 0: identifiers are shared by hosts
  std::array<std::uint8_t, 9> reserved7{};
  Le32 sws;  ///< stream write size, in blocks
  Le16 sgs;  ///< stream granularity size, in units of `sws`
  Le16 nsa;  ///< streams that the namespace has for itself and this host
  Le16 nso;  ///< open ones of this host in the namespace
  std::array<std::uint8_t, 6> reserved26{};
};

static_assert(sizeof(StreamsParameters) == 32);
static_assert(offsetof(StreamsParameters, nssc) == 6 && offsetof(StreamsParameters, sws) == 16);
static_assert(offsetof(StreamsParameters, nsa) == 22 && offsetof(StreamsParameters, nso) == 24);
static_assert(std::is_trivially_copyable_v<StreamsParameters>);

}  // namespace nvublk::nvme::spec
