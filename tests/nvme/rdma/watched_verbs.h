#pragma once

// rdma-core as it is, but for what a test wants smaller of the device, and with a record of what it
// is asked for.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <rdma/rdma_cma.h>

namespace nvublk::nvme::rdma {

struct WatchedVerbs {
  // What the device says that it has at most; none: what it really has.
  std::optional<int> max_qp_wr;
  std::optional<int> max_sge;
  std::optional<int> max_cqe;
  bool refuses_inline = false;  ///< it makes no queue pair that sends data by value

  struct Option {
    int name = 0;
    std::uint8_t value = 0;
    friend bool operator==(const Option&, const Option&) = default;
  };
  std::vector<Option> options;          ///< of ids, in the order in which they were set
  std::vector<ibv_qp_cap> queue_pairs;  ///< what each was to have
  std::vector<int> completion_queues;   ///< entries that each was to have
};

/// Of this process. A test assigns a new one when it begins and when it ends.
WatchedVerbs& watched_verbs();

}  // namespace nvublk::nvme::rdma
