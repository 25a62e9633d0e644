#pragma once

// What host and controller tell each other while the RDMA connection manager connects a queue.
// [RDMA 1.0 §3.1]

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/endian.h"

namespace nvublk::nvme::spec {

/// RECFMT of the records below; there is no other. [RDMA 1.0 §3.1]
inline constexpr std::uint16_t kRdmaRecordFormat = 0;

/// Private data of the connect request, RDMA_CM_REQUEST. [RDMA 1.0 §3.1]
struct RdmaRequestData {
  Le16 recfmt;
  Le16 qid;
  Le16 hrqsize;  ///< receive queue entries of the host
  Le16 hsqsize;  ///< SQSIZE of the Connect command, 0's based
  Le16 cntlid;   ///< of I/O queues; 0 for the admin queue
  std::array<std::uint8_t, 22> reserved10{};
};

static_assert(sizeof(RdmaRequestData) == 32);
static_assert(offsetof(RdmaRequestData, qid) == 2);
static_assert(offsetof(RdmaRequestData, hrqsize) == 4);
static_assert(offsetof(RdmaRequestData, hsqsize) == 6);
static_assert(offsetof(RdmaRequestData, cntlid) == 8);
static_assert(std::is_trivially_copyable_v<RdmaRequestData>);

/// Private data of the accept. [RDMA 1.0 §3.1, figure "RDMA_CM_ACCEPT Private Data Format"]
struct RdmaAcceptData {
  Le16 recfmt;
  Le16 crqsize;  ///< receive queue entries of the controller
  std::array<std::uint8_t, 28> reserved4{};
};

static_assert(sizeof(RdmaAcceptData) == 32);
static_assert(offsetof(RdmaAcceptData, crqsize) == 2);
static_assert(std::is_trivially_copyable_v<RdmaAcceptData>);

/// STS of a reject. [RDMA 1.0 §3.5, figure "RDMA Transport Errors"]
enum class RdmaRejectStatus : std::uint16_t {
  kInvalidPrivateDataLength = 1,
  kInvalidRecfmt = 2,
  kInvalidQid = 3,
  kInvalidHsqsize = 4,
  kInvalidHrqsize = 5,
  kNoResources = 6,
  kInvalidIrd = 7,
  kInvalidOrd = 8,
  kInvalidCntlid = 9,
};

/// Private data of a reject; the reserved bytes up to 32 are left out by some. [RDMA 1.0 §3.1]
struct RdmaRejectData {
  Le16 recfmt;
  Le16 sts;

  constexpr RdmaRejectStatus status() const { return static_cast<RdmaRejectStatus>(sts.get()); }
};

static_assert(sizeof(RdmaRejectData) == 4);
static_assert(offsetof(RdmaRejectData, sts) == 2);
static_assert(std::is_trivially_copyable_v<RdmaRejectData>);

/// Of Fabrics commands, and of the admin queue: no data in capsules. [RDMA 1.0 §3.3]
inline constexpr std::size_t kRdmaCommandCapsuleBytes = 64;
inline constexpr std::size_t kRdmaResponseCapsuleBytes = 16;

}  // namespace nvublk::nvme::spec
