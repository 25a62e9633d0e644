#pragma once

// What the RDMA transport keeps of one command, for the slot of its Request. Made with the queue
// and reused. Shard-affine.

#include <array>
#include <cstddef>
#include <cstdint>

#include <infiniband/verbs.h>

#include "nvme/rdma/bounce_pool.h"
#include "nvme/request.h"
#include "nvme/spec/cqe.h"
#include "nvme/spec/opcodes.h"
#include "nvme/spec/sgl.h"
#include "nvme/spec/sqe.h"

namespace nvublk::nvme::rdma {

/// The device reads it while it is being sent.
struct Capsule {
  static constexpr std::size_t kMaxDescriptors = 16;
  spec::SubmissionEntry sqe;
  std::array<spec::KeyedSglDescriptor, kMaxDescriptors> descriptors{};
};

struct RdmaCommand {
  const Request* request = nullptr;
  bool active = false;     ///< given to us, not completed
  bool sent = false;       ///< the device has done with the capsule and the data in it
  bool responded = false;  ///< `entry` is the response
  spec::DataDirection direction = spec::DataDirection::kNone;
  BounceBuffer* bounce = nullptr;  ///< the data, if its own memory cannot be used
  spec::CompletionEntry entry;

  std::array<ibv_sge, 2> pieces{};  ///< the capsule, and data that goes with it
  ibv_send_wr work{};
};

}  // namespace nvublk::nvme::rdma
