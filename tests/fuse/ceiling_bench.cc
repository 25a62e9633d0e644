// The front-end's ceiling: fio on the file and on the loop device of a null device, so that only
// FUSE, loop and our queue are measured. "ceiling_bench 2 60" uses two shards and leaves the device
// there for 60 seconds to be looked at with other tools.

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <thread>

#include "fuse/export_fixture.h"

namespace nvublk::fuse {
namespace {

struct Case {
  const char* name;
  const char* options;
};

constexpr Case kCases[] = {
    {"4k randread depth 1", "--rw=randread --bs=4k --iodepth=1"},
    {"4k randread depth 32", "--rw=randread --bs=4k --iodepth=32"},
    {"4k randwrite depth 32", "--rw=randwrite --bs=4k --iodepth=32"},
    {"128k read depth 8", "--rw=read --bs=128k --iodepth=8"},
    {"1m read depth 8", "--rw=read --bs=1m --iodepth=8"},
};

std::string measure(const std::string& path, const Case& test) {
  return output_of(
      "fio --name=t --ioengine=io_uring --direct=1 --time_based --runtime=1 "
      "--norandommap --randrepeat=0 --output-format=json --filename=" +
      path + " " + test.options +
      " | jq -r '.jobs[0] | (.read.iops + .write.iops | floor | tostring) + \" IOPS, \""
      " + ((.read.bw + .write.bw) / 1024 | floor | tostring) + \" MiB/s\"'");
}

/// What the I/O shards have used: unlike the rates, it does not depend on who else is busy.
double cpu_seconds(ExportWorld& world) {
  double sum = 0;
  world.on_io([&](Shard&) {
    timespec used{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    sum += static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
  });
  return sum;
}

int run(unsigned shards, int linger_s) {
  ExportWorld world(shards);
  test::MemoryDevice::Options device;
  device.geometry = test_geometry(4096, std::uint64_t{1} << 30);
  device.keep_data = false;
  TestExport exported(world, device, named("null"));
  if (const Status started = exported.start(); !started) {
    std::cerr << started.error().step << ": " << started.error().text << '\n';
    return EXIT_FAILURE;
  }
  for (const std::string& path : {exported.device_path(), exported.file_path()}) {
    for (const Case& test : kCases) {
      const double cpu_before = cpu_seconds(world);
      const auto before = world.io_counters();
      const auto statistics_before = exported.statistics();
      const std::string result = measure(path, test);
      const auto after = world.io_counters();
      const double cpu_after = cpu_seconds(world);
      const auto statistics = exported.statistics();
      const std::uint64_t served =
          statistics.reads + statistics.writes - statistics_before.reads - statistics_before.writes;
      const auto requests = static_cast<double>(std::max<std::uint64_t>(served, 1));
      std::cout << path << ' ' << test.name << ": " << result << ", "
                << static_cast<double>(after.enters - before.enters) / requests
                << " io_uring_enter and " << (cpu_after - cpu_before) * 1e6 / requests
                << " us of CPU per request" << std::endl;
    }
  }
  std::cout << exported.device_path() << ' ' << exported.file_path() << std::endl;
  std::this_thread::sleep_for(std::chrono::seconds(linger_s));
  return exported.stop(true) ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace nvublk::fuse

int main(int argc, char** argv) {
  const unsigned shards = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 1;
  return nvublk::fuse::run(shards, argc > 2 ? std::atoi(argv[2]) : 0);
}
