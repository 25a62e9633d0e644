#include "nvme/io_queue.h"

#include "engine/check.h"

namespace nvublk::nvme {

IoQueue::IoQueue(Shard& shard, Shard& control, std::uint16_t qid, std::uint32_t depth,
                 const ControllerOptions& options, IoQueueListener& listener)
    : control_(control),
      options_(options),
      listener_(listener),
      queue_pair_(shard, qid, depth, options.io_timeout, *this),
      connect_data_(std::make_unique<spec::ConnectData>()) {}

void IoQueue::start(const Start& parameters) {
  shard().post([this, parameters] {
    start_ = parameters;
    QueueTransportOptions options;
    options.qid = queue_pair_.qid();
    options.in_capsule_bytes = parameters.in_capsule_bytes;
    queue_pair_.connect(*parameters.transport, options);
  });
}

void IoQueue::stop(const Error& reason) {
  shard().post([this, reason] { queue_pair_.disconnect(reason); });
}

void IoQueue::fail_waiting(int error_number) {
  shard().post([this, error_number] { queue_pair_.fail_waiting(error_number); });
}

void IoQueue::fail_all(int error_number) {
  shard().post([this, error_number] { queue_pair_.fail_all(error_number); });
}

void IoQueue::queue_connected(std::uint16_t) {
  send_connect(options_.disable_sq_flow_control);
}

void IoQueue::send_connect(bool disable_sq_flow_control) {
  asked_no_flow_control_ = disable_sq_flow_control;
  command::ConnectArguments arguments;
  arguments.qid = queue_pair_.qid();
  // A queue of n entries has room for n - 1 commands. [Base 2.1 §3.3.1.2.1]
  arguments.queue_entries = queue_pair_.depth() + 1;
  arguments.disable_sq_flow_control = disable_sq_flow_control;
  Request* request = queue_pair_.acquire();
  CHECK(request != nullptr);
  build_fabrics_connect(arguments, start_.cntlid, options_, *request, *connect_data_);
  request->context = this;
  request->done = [](void* self, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    static_cast<IoQueue*>(self)->on_connect_done(status, entry);
  };
  queue_pair_.submit(*request, options_.connect_timeout);
}

void IoQueue::on_connect_done(spec::NvmeStatus status, const spec::CompletionEntry& entry) {
  if (queue_pair_.state() != QueueState::kConnecting) {
    return;
  }
  if (!status.ok()) {
    // A target may refuse to do without SQ flow control; then it gets it. [Base 2.1 §6.3]
    if (asked_no_flow_control_ && status.is(spec::FabricsStatus::kInvalidParameters)) {
      send_connect(false);
      return;
    }
    Error error = fabrics_connect_error(status, entry, options_);
    error.step = "Fabrics Connect of I/O queue " + std::to_string(queue_pair_.qid());
    queue_pair_.disconnect(std::move(error));
    return;
  }
  queue_pair_.set_live();
  // SQHD of ffffh says that the request to do without flow control was granted. [Base 2.1 §6.3]
  const bool disabled = asked_no_flow_control_ && entry.sqhd.get() == 0xffff;
  control_.post(
      [this, disabled, qid = queue_pair_.qid()] { listener_.io_queue_live(qid, disabled); });
}

void IoQueue::queue_disconnected(std::uint16_t qid, const Error& reason) {
  control_.post([this, qid, reason] { listener_.io_queue_closed(qid, reason); });
}

}  // namespace nvublk::nvme
