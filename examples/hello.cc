// Writes a block, reads it back and compares it, on the first namespace of a controller. What was
// in that block is lost.
//
//   nvublk-example-hello nvme+tcp://192.0.2.1:4420/NQN

#include <cstdio>
#include <cstring>
#include <memory>

#include "engine/dma_memory.h"
#include "engine/shard.h"
#include "nvme/initiator.h"
#include "nvme/namespace_io.h"
#include "nvme/status_text.h"
#include "nvme/transport_factory.h"

using namespace nvublk;

namespace {

constexpr char kGreeting[] = "Hello, namespace!";

int complain(const char* what, const Error& error) {
  std::fprintf(stderr, "%s: %s\n", what, error.text.c_str());
  return 1;
}

/// One command at a time: whether it has ended, and how.
struct Command {
  bool done = false;
  nvme::spec::NvmeStatus status;

  static void ended(void* context, nvme::spec::NvmeStatus status,
                    const nvme::spec::CompletionEntry&) {
    auto* self = static_cast<Command*>(context);
    self->done = true;
    self->status = status;
  }
};

/// Submits with `submit`, then polls until the command has ended: without polling it never would.
template <typename Submit>
bool finish(nvme::IoQueuePair& queue, const char* what, iovec memory, Submit submit) {
  Command command;
  nvme::BlockIo io;
  io.lba = 0;
  io.blocks = 1;
  io.data = {&memory, 1};
  io.done = &Command::ended;
  io.context = &command;
  if (const int error = submit(io); error != 0) {
    std::fprintf(stderr, "%s: %s\n", what, std::strerror(-error));
    return false;
  }
  while (!command.done) {
    queue.process_completions();
  }
  std::printf("%s: %s\n", what, nvme::status_text(command.status).c_str());
  return command.status.ok();
}

int greet(nvme::Controller& controller) {
  if (controller.namespaces().empty()) {
    std::fprintf(stderr, "this controller has no namespace\n");
    return 1;
  }
  const nvme::Namespace& subject = *controller.namespaces().front();
  auto queue = controller.allocate_io_queue_pair();
  if (!queue) return complain("queue pair", queue.error());
  const std::size_t block_bytes = subject.geometry().block_size_bytes;
  auto memory = DmaRegion::allocate(block_bytes);
  if (!memory) return complain("memory", memory.error());
  const iovec block{memory->data(), block_bytes};

  nvme::NamespaceIo io(controller, subject, **queue);
  std::memcpy(memory->data(), kGreeting, sizeof(kGreeting));
  if (!finish(**queue, "write", block, [&io](const auto& what) { return io.write(what); })) {
    return 1;
  }
  std::memset(memory->data(), 0, block_bytes);
  if (!finish(**queue, "read", block, [&io](const auto& what) { return io.read(what); })) {
    return 1;
  }
  std::printf("the block says: %s\n", reinterpret_cast<const char*>(memory->data()));
  // Optional for controllers; they compare what they have with what we send.
  if (controller.profile().identify.supports_compare() &&
      !finish(**queue, "compare", block, [&io](const auto& what) { return io.compare(what); })) {
    return 1;
  }
  return std::memcmp(memory->data(), kGreeting, sizeof(kGreeting)) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const auto id = nvme::TransportId::parse(argc > 1 ? argv[1] : "");
  if (!id) return complain("transport id", id.error());
  // This thread polls, so it adopts a shard.
  auto shard = Shard::adopt_current_thread({});
  if (!shard) return complain("shard", shard.error());
  const auto uuid = nvme::Uuid::generate();
  if (!uuid) return complain("host id", uuid.error());

  nvme::ControllerOptions options;
  options.host = {nvme::uuid_nqn(*uuid), *uuid};
  nvme::Initiator initiator(**shard, nvme::make_transport, options);
  const auto controller = initiator.connect(*id);
  if (!controller) return complain("connect", controller.error());
  return greet(**controller);
}
