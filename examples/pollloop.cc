// A plain loop that polls: it connects without waiting, reads the beginning of a namespace through
// a poll group, and detaches. Nothing here runs a reactor: each poll is one turn of it, and the
// loop is free to do other work in between.
//
//   nvublk-example-pollloop nvme+tcp://192.0.2.1:4420/NQN

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <memory>

#include "engine/dma_memory.h"
#include "engine/shard.h"
#include "nvme/initiator.h"
#include "nvme/namespace_io.h"
#include "nvme/poll_group.h"
#include "nvme/transport_factory.h"

using namespace nvublk;

namespace {

constexpr std::uint64_t kReads = 64;

/// What is under way; reads are begun as fast as the queue pair takes them.
struct Reader {
  std::uint64_t submitted = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;

  static void ended(void* context, nvme::spec::NvmeStatus status,
                    const nvme::spec::CompletionEntry&) {
    auto* self = static_cast<Reader*>(context);
    self->completed++;
    self->failed += status.ok() ? 0 : 1;
  }
};

int complain(const Error& error) {
  std::fprintf(stderr, "%s\n", error.text.c_str());
  return 1;
}

int read_blocks(nvme::Controller& controller) {
  if (controller.namespaces().empty()) {
    return complain(Error::make(ErrorCode::kNotFound, "this controller has no namespace"));
  }
  const nvme::Namespace& subject = *controller.namespaces().front();
  const std::uint32_t block_bytes = subject.geometry().block_size_bytes;
  auto memory = DmaRegion::allocate(block_bytes);
  if (!memory) return complain(memory.error());
  const iovec block{memory->data(), block_bytes};

  nvme::PollGroup group;
  nvme::IoQueuePairOptions options;
  options.create_only = true;  // members join a group before they connect
  options.queue_size = 8;
  options.requests = 16;
  auto queue = controller.allocate_io_queue_pair(options);
  if (!queue) return complain(queue.error());
  nvme::NamespaceIo io(controller, subject, **queue);
  if (group.add(**queue) != 0 || (*queue)->connect() != 0) {
    return complain(Error::make(ErrorCode::kBusy, "the controller is gone"));
  }
  while (group.all_connected() == -EAGAIN) {
    group.process_completions(0, nullptr);
  }

  Reader reader;
  while (reader.completed < kReads) {
    while (reader.submitted < kReads) {
      nvme::BlockIo read;
      read.lba = reader.submitted % subject.geometry().size_blocks;
      read.blocks = 1;
      read.data = {&block, 1};
      read.done = &Reader::ended;
      read.context = &reader;
      if (io.read(read) != 0) break;  // -ENOMEM: all requests are in use, so poll
      reader.submitted++;
    }
    if (group.process_completions(0, nullptr) < 0) {
      return complain(Error::make(ErrorCode::kDisconnected, (*queue)->failure_text()));
    }
    controller.process_admin_completions();  // keep alive, events
  }
  std::printf("%" PRIu64 " blocks read, %" PRIu64 " failed, in %" PRIu64 " polls\n",
              reader.completed, reader.failed, group.statistics().polls);
  return reader.failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const auto id = nvme::TransportId::parse(argc > 1 ? argv[1] : "");
  if (!id) return complain(id.error());
  auto shard = Shard::adopt_current_thread({});
  if (!shard) return complain(shard.error());
  const auto uuid = nvme::Uuid::generate();
  if (!uuid) return complain(uuid.error());
  nvme::ControllerOptions options;
  options.host = {nvme::uuid_nqn(*uuid), *uuid};
  nvme::Initiator initiator(**shard, nvme::make_transport, options);

  nvme::Controller* controller = nullptr;
  nvme::ProbeCallbacks callbacks;
  callbacks.attach = [&controller](const nvme::TransportId&, nvme::Controller& ready,
                                   const nvme::ControllerOptions&) { controller = &ready; };
  callbacks.attach_fail = [](const nvme::TransportId&, const Error& error) { complain(error); };
  auto connecting = initiator.connect_async(*id, options, callbacks);
  if (!connecting) return complain(connecting.error());
  while ((*connecting)->poll() == -EAGAIN) {
    // Other work goes here.
  }
  if (controller == nullptr) return 1;
  const int result = read_blocks(*controller);

  nvme::DetachContext detaching;
  if (const Status begun = initiator.detach_async(*controller, detaching); !begun) {
    return complain(begun.error());
  }
  while (detaching.poll() == -EAGAIN) {
  }
  return result;
}
