#pragma once

// The admin commands that make and delete I/O queues in memory. Pure. [Base 2.1 §5.2]

#include <cstdint>

#include "nvme/spec/sqe.h"

namespace nvublk::nvme::pcie {

struct CreateCompletionQueue {
  std::uint16_t qid = 0;
  std::uint32_t entries = 0;  ///< 2 to 65536
  std::uint64_t address = 0;  ///< page aligned and contiguous
  std::uint16_t vector = 0;
  bool interrupts = false;
};
struct CreateSubmissionQueue {
  std::uint16_t qid = 0;  ///< completes into the completion queue of the same number
  std::uint32_t entries = 0;
  std::uint64_t address = 0;
  std::uint8_t priority = 0;  ///< QPRIO: 0 urgent to 3 low
};

spec::SubmissionEntry create_completion_queue(const CreateCompletionQueue& arguments);
spec::SubmissionEntry create_submission_queue(const CreateSubmissionQueue& arguments);
/// `shadow` and `events`: a page each. [Base 2.1 §5.2.5]
spec::SubmissionEntry doorbell_buffer_config(std::uint64_t shadow, std::uint64_t events);
spec::SubmissionEntry delete_completion_queue(std::uint16_t qid);
spec::SubmissionEntry delete_submission_queue(std::uint16_t qid);

}  // namespace nvublk::nvme::pcie
