#pragma once

// What the connection manager and the target say about a connection that did not come about, as
// sentences. Pure.

#include <cstddef>
#include <span>
#include <string>

namespace nvublk::nvme::rdma {

/// Reasons of the connection manager for a reject that matter to us. (InfiniBand's, also used by
/// RoCE.)
inline constexpr int kRejectInvalidService = 8;
inline constexpr int kRejectStaleConnection = 10;
inline constexpr int kRejectConsumer = 28;

/// Why a connection was rejected: `reason` is the event's status, `data` the private data that came
/// with it. [RDMA 1.0 §3.5]
std::string reject_text(int reason, std::span<const std::byte> data);

}  // namespace nvublk::nvme::rdma
