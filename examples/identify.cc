// Prints what controllers and their namespaces say about themselves. The NQN of a discovery
// subsystem, or none, means all controllers that it knows.
//
//   nvublk-example-identify nvme+tcp://192.0.2.1:8009

#include <cinttypes>
#include <cstdio>
#include <memory>

#include "engine/shard.h"
#include "nvme/initiator.h"
#include "nvme/transport_factory.h"

using namespace nvublk;

namespace {

void print(const nvme::TransportId& id, const nvme::Controller& controller) {
  const nvme::ControllerStatus status = controller.status();
  std::printf("%s\n", id.to_uri().c_str());
  std::printf("  model     %s\n", status.model.c_str());
  std::printf("  serial    %s\n", status.serial.c_str());
  std::printf("  firmware  %s\n", status.firmware.c_str());
  std::printf("  version   %s, controller id %u\n", status.version.c_str(), status.cntlid);
  for (const nvme::Namespace* each : controller.namespaces()) {
    const BlockGeometry& geometry = each->geometry();
    std::printf("  namespace %" PRIu32 ": %" PRIu64 " blocks of %" PRIu32 " bytes", each->nsid(),
                geometry.size_blocks, geometry.block_size_bytes);
    if (!each->identity().uuid.empty()) {
      std::printf(", uuid %s", each->identity().uuid.c_str());
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto id = nvme::TransportId::parse(argc > 1 ? argv[1] : "");
  auto shard = Shard::adopt_current_thread({});
  const auto uuid = nvme::Uuid::generate();
  if (!id || !shard || !uuid) {
    const Error& error = !id ? id.error() : !shard ? shard.error() : uuid.error();
    std::fprintf(stderr, "%s\n", error.text.c_str());
    return 1;
  }
  nvme::ControllerOptions options;
  options.host = {nvme::uuid_nqn(*uuid), *uuid};
  nvme::Initiator initiator(**shard, nvme::make_transport, options);

  int failed = 0;
  nvme::ProbeCallbacks callbacks;
  // Any controller will do, but who waits at a terminal does not want to wait for long.
  callbacks.probe = [](const nvme::TransportId&, nvme::ControllerOptions& used) {
    used.connect_timeout = seconds(3);
    return true;
  };
  callbacks.attach = [](const nvme::TransportId& found, nvme::Controller& controller,
                        const nvme::ControllerOptions&) { print(found, controller); };
  callbacks.attach_fail = [&failed](const nvme::TransportId& found, const Error& error) {
    std::fprintf(stderr, "%s: %s\n", found.to_uri().c_str(), error.text.c_str());
    failed++;
  };
  if (const Status probed = initiator.probe(*id, callbacks); !probed) {
    std::fprintf(stderr, "%s\n", probed.error().text.c_str());
    return 1;
  }
  return failed == 0 ? 0 : 1;
}
