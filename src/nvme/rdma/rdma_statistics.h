#pragma once

// What a shard has done with one RDMA device: all its queue pairs there, as those of a poll group
// poll one completion queue. Other threads read it from the reactor's counter groups.

#include <array>

#include "engine/counter_groups.h"

namespace nvublk::nvme::rdma {

inline constexpr const char* kCounterKind = "rdma";
inline constexpr std::array<const char*, 12> kCounterLabels{
    "completion_queues", "polls",         "idle_polls",       "completions",
    "interrupts",        "send_requests", "receive_requests", "send_doorbells",
    "receive_doorbells", "registrations", "copies",           "shared_receive_queues"};

struct RdmaCounters {
  explicit RdmaCounters(CounterGroup& group)
      : completion_queues(group.counter(0)),
        polls(group.counter(1)),
        idle_polls(group.counter(2)),
        completions(group.counter(3)),
        interrupts(group.counter(4)),
        send_requests(group.counter(5)),
        receive_requests(group.counter(6)),
        send_doorbells(group.counter(7)),
        receive_doorbells(group.counter(8)),
        registrations(group.counter(9)),
        copies(group.counter(10)),
        shared_receive_queues(group.counter(11)) {}

  Counter& completion_queues;  ///< that exist now
  Counter& polls;              ///< of completion queues
  Counter& idle_polls;         ///< those that found nothing
  Counter& completions;        ///< of work requests
  Counter& interrupts;         ///< wake-ups by completion channels
  Counter& send_requests;      ///< work requests posted
  Counter& receive_requests;   ///< likewise
  Counter& send_doorbells;     ///< calls that posted them
  Counter& receive_doorbells;
  Counter& registrations;  ///< regions of memory
  Counter& copies;         ///< commands whose data was copied, their memory being unknown to us
  Counter& shared_receive_queues;  ///< that exist now
};

}  // namespace nvublk::nvme::rdma
