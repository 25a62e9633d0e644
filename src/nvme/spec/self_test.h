#pragma once

// Device Self-test and its log. [Base 2.1 §5.1.5, §5.1.12.1.7, §8.1.7]

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

#include "engine/endian.h"

namespace nvublk::nvme::spec {

/// STC: which test is begun, or that the one that runs is ended. [Base 2.1 §5.1.5]
enum class SelfTest : std::uint8_t { kNone = 0x0, kShort = 0x1, kExtended = 0x2, kAbort = 0xf };

/// DSTO bit 0: one test at a time in the whole subsystem. [Base 2.1 §5.1.13.2.1]
inline constexpr std::uint8_t kSelfTestOnePerSubsystem = 1;

/// How a test ended. [Base 2.1 §5.1.12.1.7]
enum class SelfTestOutcome : std::uint8_t {
  kPassed = 0x0,
  kAbortedByCommand = 0x1,
  kAbortedByReset = 0x2,
  kNamespaceRemoved = 0x3,
  kAbortedByFormat = 0x4,
  kFatalError = 0x5,
  kUnknownSegmentFailed = 0x6,
  kSegmentFailed = 0x7,
  kAborted = 0x8,  ///< for another reason
  kAbortedBySanitize = 0x9,
  kUnused = 0xf,  ///< there is no result at this place
};

/// One result. [Base 2.1 §5.1.12.1.7]
struct SelfTestResult {
  std::uint8_t status_byte = 0xf;  ///< the outcome in bits 3:0, the test in 7:4
  std::uint8_t segment = 0;        ///< of kSegmentFailed: the first that failed
  std::uint8_t valid = 0;          ///< which of NSID, LBA, SCT and SC are: bits 0 to 3
  std::uint8_t reserved3 = 0;
  Le64 power_on_hours;           ///< when it ended
  Le32 nsid;                     ///< of the namespace that failed
  Le64 failing_lba;              ///< of the first block that failed
  std::uint8_t status_type = 0;  ///< SCT
  std::uint8_t status_code = 0;  ///< SC
  Le16 vendor;                   ///< the vendor's

  ///@{
  /// Bits of `valid`.
  static constexpr std::uint8_t kNsidValid = 1u << 0;
  static constexpr std::uint8_t kLbaValid = 1u << 1;
  static constexpr std::uint8_t kStatusTypeValid = 1u << 2;
  static constexpr std::uint8_t kStatusCodeValid = 1u << 3;
  ///@}

  /// How it ended; kUnused: there is no result here.
  constexpr SelfTestOutcome outcome() const {
    return static_cast<SelfTestOutcome>(status_byte & 0xf);
  }
  /// Which test it was.
  constexpr SelfTest test() const { return static_cast<SelfTest>(status_byte >> 4); }
  /// The namespace that failed, if the result says which.
  constexpr std::optional<std::uint32_t> failed_nsid() const {
    return (valid & kNsidValid) != 0 ? std::optional(nsid.get()) : std::nullopt;
  }
  /// The first block that failed, if the result says which.
  constexpr std::optional<std::uint64_t> failed_lba() const {
    return (valid & kLbaValid) != 0 ? std::optional(failing_lba.get()) : std::nullopt;
  }
};

static_assert(sizeof(SelfTestResult) == 28);
static_assert(offsetof(SelfTestResult, power_on_hours) == 4);
static_assert(offsetof(SelfTestResult, nsid) == 12);
static_assert(offsetof(SelfTestResult, failing_lba) == 16);
static_assert(offsetof(SelfTestResult, status_type) == 24);

/// Device Self-test, LID 06h. [Base 2.1 §5.1.12.1.7]
struct SelfTestLog {
  std::uint8_t current = 0;     ///< the test that runs, in bits 3:0
  std::uint8_t completion = 0;  ///< percent of it, in bits 6:0
  std::array<std::uint8_t, 2> reserved2{};
  std::array<SelfTestResult, 20> results{};  ///< newest first

  /// The test that runs; kNone: none does.
  constexpr SelfTest running() const { return static_cast<SelfTest>(current & 0xf); }
  /// How far it is.
  constexpr std::uint32_t progress_percent() const { return completion & 0x7fu; }
};

static_assert(sizeof(SelfTestLog) == 564);
static_assert(offsetof(SelfTestLog, results) == 4);
static_assert(std::is_trivially_copyable_v<SelfTestLog>);

}  // namespace nvublk::nvme::spec
