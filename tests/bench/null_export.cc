// Shows a namespace that does nothing through FUSE and a loop device, for native-compare: prints
// {"device":"/dev/loopN"} and serves it until its standard input ends or it is told to stop.
// Usage: nvublk_null_export [SHARDS]

#include <csignal>
#include <cstdlib>
#include <iostream>

#include <unistd.h>

#include "fuse/export_fixture.h"

namespace nvublk::fuse {
namespace {

int serve(unsigned shards) {
  ExportWorld world(shards);
  test::MemoryDevice::Options device;
  device.geometry = test_geometry(4096, std::uint64_t{1} << 30);
  device.keep_data = false;
  TestExport exported(world, device, named("null"));
  if (const Status started = exported.start(); !started) {
    std::cerr << started.error().step << ": " << started.error().text << '\n';
    return EXIT_FAILURE;
  }
  std::cout << R"({"device":")" << exported.device_path() << "\"}" << std::endl;
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return exported.stop(true) ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace nvublk::fuse

int main(int argc, char** argv) {
  // Without SA_RESTART a signal ends the read.
  struct sigaction action{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  return nvublk::fuse::serve(argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1);
}
