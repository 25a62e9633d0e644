#pragma once

// Decides how a command's data travels and writes its capsule: with the capsule, or named by keys
// for the controller to read or write. [RDMA 1.0 §3.3]

#include <cstdint>

#include "nvme/rdma/bounce_pool.h"
#include "nvme/rdma/memory_table.h"
#include "nvme/rdma/rdma_command.h"
#include "nvme/rdma/rdma_statistics.h"
#include "nvme/transport.h"

namespace nvublk::nvme::rdma {

/// What one queue's capsules may be.
struct CapsuleLimits {
  std::uint32_t in_capsule_bytes = 0;  ///< data
  std::uint32_t max_descriptors = 1;   ///< of one command, at most Capsule::kMaxDescriptors
};

/// `max_pieces`: what a send may be gathered from.
CapsuleLimits capsule_limits(const QueueTransportOptions& options, int max_pieces);

class CapsuleBuilder {
 public:
  CapsuleBuilder(const CapsuleLimits& limits, MemoryTable& memory, BouncePool& pool,
                 RdmaCounters& counters)
      : limits_(limits), memory_(memory), pool_(pool), counters_(counters) {}

  /// Fills `capsule`, and of `command` the data's way: `bounce`, `pieces` (lengths and addresses;
  /// the capsule's own key is the caller's) and how many of them. False if there is no memory for
  /// a copy of the data.
  bool build(const Request& request, Capsule& capsule, RdmaCommand& command);
  /// The command has ended: data that was read through a copy goes where it belongs if `good`.
  void finish(RdmaCommand& command, bool good);

 private:
  std::uint32_t name_pieces(const Request& request, Capsule& capsule);
  bool copy_in(const Request& request, RdmaCommand& command);
  bool add_in_capsule(const Request& request, Capsule& capsule, RdmaCommand& command);
  static void set_capsule_length(RdmaCommand& command, Capsule& capsule, std::size_t bytes);

  const CapsuleLimits limits_;
  MemoryTable& memory_;
  BouncePool& pool_;
  RdmaCounters& counters_;
};

}  // namespace nvublk::nvme::rdma
