#include "nvme/pcie/queue_commands.h"

namespace nvublk::nvme::pcie {

namespace {

constexpr std::uint32_t kPhysicallyContiguous = 1u << 0;
constexpr std::uint32_t kInterruptsEnabled = 1u << 1;

spec::SubmissionEntry queue_command(spec::AdminOpcode opcode, std::uint16_t qid) {
  spec::SubmissionEntry sqe;
  sqe.opcode = static_cast<std::uint8_t>(opcode);
  sqe.cdw10 = qid;
  return sqe;
}

spec::SubmissionEntry create(spec::AdminOpcode opcode, std::uint16_t qid, std::uint32_t entries,
                             std::uint64_t address) {
  spec::SubmissionEntry sqe = queue_command(opcode, qid);
  sqe.set_prps(address, 0);
  sqe.cdw10 = ((entries - 1) << 16) | qid;  // QSIZE is 0's based
  return sqe;
}

}  // namespace

// [Base 2.1 §5.2.1]
spec::SubmissionEntry create_completion_queue(const CreateCompletionQueue& arguments) {
  spec::SubmissionEntry sqe = create(spec::AdminOpcode::kCreateIoCompletionQueue, arguments.qid,
                                     arguments.entries, arguments.address);
  sqe.cdw11 = (static_cast<std::uint32_t>(arguments.vector) << 16) | kPhysicallyContiguous |
              (arguments.interrupts ? kInterruptsEnabled : 0);
  return sqe;
}

// [Base 2.1 §5.2.2] The priority has a meaning with weighted round robin only.
spec::SubmissionEntry create_submission_queue(const CreateSubmissionQueue& arguments) {
  spec::SubmissionEntry sqe = create(spec::AdminOpcode::kCreateIoSubmissionQueue, arguments.qid,
                                     arguments.entries, arguments.address);
  sqe.cdw11 = (static_cast<std::uint32_t>(arguments.qid) << 16) | kPhysicallyContiguous |
              ((arguments.priority & 3u) << 1);
  return sqe;
}

spec::SubmissionEntry doorbell_buffer_config(std::uint64_t shadow, std::uint64_t events) {
  spec::SubmissionEntry sqe;
  sqe.opcode = static_cast<std::uint8_t>(spec::AdminOpcode::kDoorbellBufferConfig);
  sqe.set_prps(shadow, events);
  return sqe;
}

// [Base 2.1 §5.2.3]
spec::SubmissionEntry delete_completion_queue(std::uint16_t qid) {
  return queue_command(spec::AdminOpcode::kDeleteIoCompletionQueue, qid);
}

// [Base 2.1 §5.2.4]
spec::SubmissionEntry delete_submission_queue(std::uint16_t qid) {
  return queue_command(spec::AdminOpcode::kDeleteIoSubmissionQueue, qid);
}

}  // namespace nvublk::nvme::pcie
