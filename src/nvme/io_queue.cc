#include "nvme/io_queue.h"

namespace nvublk::nvme {

CommandTimeouts command_timeouts(const ControllerOptions& options) {
  return {
      .io = options.io_timeout, .action = options.timeout_action, .abort = options.admin_timeout};
}

IoQueue::IoQueue(Shard& shard, Shard& control, std::uint16_t qid, std::uint32_t depth,
                 const ControllerOptions& options, IoQueueListener& listener)
    : control_(control),
      listener_(listener),
      queue_pair_(shard, qid, depth, options.io_timeout, *this,
                  {.retries = options.transport_retry_count, .log_errors = options.log_errors}),
      connect_(queue_pair_, options, *this) {
  queue_pair_.set_timeouts(command_timeouts(options));
}

void IoQueue::start(const Start& parameters) {
  shard().post([this, parameters] {
    start_ = parameters;
    QueueTransportOptions options;
    options.qid = queue_pair_.qid();
    options.cntlid = parameters.cntlid;
    options.in_capsule_bytes = parameters.in_capsule_bytes;
    options.max_descriptors = parameters.max_descriptors;
    queue_pair_.set_retry_delays(parameters.retry_delays);
    queue_pair_.hold();
    queue_pair_.connect(*parameters.transport, options);
  });
}

void IoQueue::release() {
  shard().post([this] {
    queue_pair_.release();
    control_.post([this] { listener_.io_queue_released(queue_pair_.qid()); });
  });
}

void IoQueue::set_timeouts(const CommandTimeouts& timeouts) {
  shard().post([this, timeouts] { queue_pair_.set_timeouts(timeouts); });
}

void IoQueue::stop(const Error& reason) {
  shard().post([this, reason] { queue_pair_.disconnect(reason); });
}

void IoQueue::set_keys(const DhchapKeys& keys) {
  shard().post([this, keys] { connect_.set_keys(keys); });
}

void IoQueue::fail_waiting(int error_number) {
  shard().post([this, error_number] { queue_pair_.fail_waiting(error_number); });
}

void IoQueue::fail_all(int error_number) {
  shard().post([this, error_number] { queue_pair_.fail_all(error_number); });
}

void IoQueue::queue_connected(std::uint16_t) {
  connect_.start(start_.transport->limits().fabrics, start_.cntlid);
}

void IoQueue::queue_live(bool sq_flow_control_disabled) {
  control_.post([this, sq_flow_control_disabled, qid = queue_pair_.qid()] {
    listener_.io_queue_live(qid, sq_flow_control_disabled);
  });
}

void IoQueue::queue_disconnected(std::uint16_t qid, const Error& reason) {
  connect_.cancel();
  control_.post([this, qid, reason, cut_off = queue_pair_.cut_off_writes()] {
    listener_.io_queue_closed(qid, reason, cut_off);
  });
}

void IoQueue::command_timed_out(std::uint16_t qid, std::uint16_t cid) {
  control_.post([this, qid, cid] { listener_.io_command_timed_out(qid, cid); });
}

}  // namespace nvublk::nvme
