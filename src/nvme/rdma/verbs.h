#pragma once

// Owners of what verbs hand out, and words for what they report.

#include <memory>
#include <string>

#include <infiniband/verbs.h>

namespace nvublk::nvme::rdma {

/// Gives an object of verbs back; what it still holds keeps the device, so nothing is lost if the
/// device refuses because it is gone.
struct VerbsRelease {
  void operator()(ibv_pd* pd) const { ::ibv_dealloc_pd(pd); }
  void operator()(ibv_mr* mr) const { ::ibv_dereg_mr(mr); }
  void operator()(ibv_cq* cq) const { ::ibv_destroy_cq(cq); }
  void operator()(ibv_srq* queue) const { ::ibv_destroy_srq(queue); }
  void operator()(ibv_comp_channel* channel) const { ::ibv_destroy_comp_channel(channel); }
};

using ProtectionDomain = std::unique_ptr<ibv_pd, VerbsRelease>;
using MemoryRegion = std::unique_ptr<ibv_mr, VerbsRelease>;
using VerbsCompletionQueue = std::unique_ptr<ibv_cq, VerbsRelease>;
using SharedReceiveQueue = std::unique_ptr<ibv_srq, VerbsRelease>;
using CompletionChannel = std::unique_ptr<ibv_comp_channel, VerbsRelease>;

/// "mlx5_0".
std::string device_name(const ibv_context& context);
/// Why a work request failed, for messages.
std::string work_status_text(const ibv_wc& completion);

}  // namespace nvublk::nvme::rdma
