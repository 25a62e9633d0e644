#pragma once

// What a shard has done with one RDMA device. One shard writes, any thread reads.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/counter.h"

namespace nvublk::nvme::rdma {

struct RdmaCounters {
  Counter polls;             ///< of completion queues
  Counter idle_polls;        ///< those that found nothing
  Counter completions;       ///< of work requests
  Counter interrupts;        ///< wake-ups by completion channels
  Counter send_requests;     ///< work requests posted
  Counter receive_requests;  ///< likewise
  Counter send_doorbells;    ///< calls that posted them
  Counter receive_doorbells;
  Counter registrations;  ///< regions of memory
  Counter copies;         ///< commands whose data was copied, their memory being unknown to us
};

/// The same as numbers, of one device.
struct RdmaDeviceStatistics {
  std::string device;  ///< "mlx5_0"
  unsigned completion_queues = 0;
  std::uint64_t polls = 0;
  std::uint64_t idle_polls = 0;
  std::uint64_t completions = 0;
  std::uint64_t interrupts = 0;
  std::uint64_t send_requests = 0;
  std::uint64_t receive_requests = 0;
  std::uint64_t send_doorbells = 0;
  std::uint64_t receive_doorbells = 0;
  std::uint64_t registrations = 0;
  std::uint64_t copies = 0;
};

/// Of each device that the calling shard uses: what all queue pairs of a poll group there did.
std::vector<RdmaDeviceStatistics> device_statistics();

}  // namespace nvublk::nvme::rdma
