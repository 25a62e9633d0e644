#include "nvme/io_passthrough.h"

#include <memory>
#include <utility>

namespace nvublk::nvme {

void IoPassthroughRun::start(QueuePair& queue, Shard& control, IoPassthrough command) {
  auto* run = new IoPassthroughRun(queue, control, std::move(command));
  queue.shard().post([run] { run->queue_.wait_for_slot(*run); });
}

void IoPassthroughRun::slot_free(Request& request) {
  request.sqe = command_.sqe;
  request.set_no_data();
  if (!command_.data.empty()) {
    request.set_data(command_.data.data(), static_cast<std::uint32_t>(command_.data.size()));
  }
  request.metadata = command_.metadata.data();
  request.metadata_bytes = static_cast<std::uint32_t>(command_.metadata.size());
  request.context = this;
  request.done = [](void* self, spec::NvmeStatus status, const spec::CompletionEntry& entry) {
    static_cast<IoPassthroughRun*>(self)->finish(status, entry);
  };
  queue_.submit(request, command_.timeout);
}

void IoPassthroughRun::no_slot() {
  finish(spec::NvmeStatus::make(spec::PathStatus::kHostPathError), {});
}

void IoPassthroughRun::finish(spec::NvmeStatus status, const spec::CompletionEntry& entry) {
  control_.post([this, status, entry] {
    const std::unique_ptr<IoPassthroughRun> owned(this);
    if (command_.done) {
      command_.done(status, entry);
    }
  });
}

}  // namespace nvublk::nvme
