#include "fuse/export_fixture.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <sys/wait.h>

#include "fuse/features.h"

namespace nvublk::fuse {

namespace fs = std::filesystem;

namespace {

struct Ran {
  std::string output;
  int code = -1;
};

Ran run(const std::string& command) {
  Ran ran;
  FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) {
    return ran;
  }
  std::array<char, 4096> part;
  while (std::fgets(part.data(), part.size(), pipe) != nullptr) {
    ran.output += part.data();
  }
  const int status = ::pclose(pipe);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ran;
}

}  // namespace

void DeviceTest::SetUp() {
  if (const Features features = probe_features(); !features.available) {
    GTEST_SKIP() << features.reason;
  }
}

int run_command(const std::string& command) {
  const Ran ran = run("{ " + command + "; } 2>&1");
  if (ran.code != 0) {
    std::printf("%s: exit status %d\n%s\n", command.c_str(), ran.code, ran.output.c_str());
  }
  return ran.code;
}

std::string output_of(const std::string& command) {
  std::string text = run(command).output;
  if (text.ends_with('\n')) {
    text.pop_back();
  }
  return text;
}

std::size_t count_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    count++;
  }
  return count;
}

std::size_t count_loop_devices(const std::string& directory) {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator("/sys/block")) {
    std::ifstream file(entry.path() / "loop/backing_file");
    std::string path;
    std::getline(file, path);
    count += path.starts_with(directory) ? 1 : 0;
  }
  return count;
}

std::size_t count_mounts(const std::string& directory) {
  std::size_t count = 0;
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  while (std::getline(file, line)) {
    count += line.find(" " + directory) != std::string::npos ? 1 : 0;
  }
  return count;
}

ExportWorld::ExportWorld(unsigned io_shards) {
  Shard::Options options;
  options.id = 1000;
  options.name = "control";
  options.reactor.mode = IdleMode::kInterrupt;
  control_ = std::move(*Shard::start(options));
  set_.control = control_.get();
  for (unsigned i = 0; i < io_shards; i++) {
    Shard::Options io;
    io.id = i;
    io.name = "io" + std::to_string(i);
    io_shards_.push_back(std::move(*Shard::start(io)));
    set_.io.push_back(io_shards_.back().get());
  }
  std::string pattern = fs::temp_directory_path() / "nvublk-fuse-XXXXXX";
  directory_ = ::mkdtemp(pattern.data());
}

ExportWorld::~ExportWorld() {
  // Not recursively: what an export leaves behind must show.
  std::error_code error;
  fs::remove(directory_, error);
  EXPECT_FALSE(error) << directory_ << ": " << error.message();
}

void ExportWorld::on_control(const std::function<void()>& task) {
  std::promise<void> ran;
  control_->post([&] {
    task();
    ran.set_value();
  });
  ran.get_future().get();
}

void ExportWorld::on_io(const std::function<void(Shard&)>& task) {
  for (Shard* shard : set_.io) {
    std::promise<void> ran;
    shard->post([&] {
      task(*shard);
      ran.set_value();
    });
    ran.get_future().get();
  }
}

Reactor::Counters ExportWorld::io_counters() {
  Reactor::Counters sum;
  on_io([&](Shard& shard) {
    const Reactor::Counters counters = shard.reactor().counters();
    sum.turns += counters.turns;
    sum.sleeps += counters.sleeps;
    sum.completions += counters.completions;
    sum.enters += counters.enters;
  });
  return sum;
}

unsigned data_shards() {
#if defined(__SANITIZE_THREAD__)
  return 1;
#elif defined(__clang__)
  return __has_feature(thread_sanitizer) ? 1 : 2;
#else
  return 2;
#endif
}

BlockGeometry test_geometry(std::uint32_t block_size_bytes, std::uint64_t size_bytes) {
  BlockGeometry geometry;
  geometry.block_size_bytes = block_size_bytes;
  geometry.physical_block_size_bytes = 4096;
  geometry.size_blocks = size_bytes / block_size_bytes;
  geometry.max_transfer_bytes = 1024 * 1024;
  geometry.max_discard_blocks = 65536;
  geometry.discard_granularity_bytes = 4096;
  geometry.max_write_zeroes_blocks = 65536;
  geometry.volatile_write_cache = true;
  return geometry;
}

BlockExportOptions named(const std::string& name) {
  BlockExportOptions options;
  options.name = name;
  return options;
}

TestExport::TestExport(ExportWorld& world, test::MemoryDevice::Options device,
                       BlockExportOptions options, bool multishot)
    : world_(world), name_(options.name) {
  device_ = std::make_unique<test::MemoryDevice>(device, world_.shards().io);
  options.run_directory = world_.directory();
  world_.on_control([&] {
    exported_ =
        std::make_unique<FuseExport>(world_.shards(), *device_, std::move(options), multishot);
  });
}

TestExport::~TestExport() {
  device_->release();
  if (started_) {
    EXPECT_TRUE(stop(true));
  }
  world_.on_control([&] { exported_.reset(); });
  // A round trip: what release() posted to the shards has run.
  world_.io_counters();
}

std::future<Status> TestExport::begin_start() {
  auto done = std::make_shared<std::promise<Status>>();
  auto future = done->get_future();
  started_ = true;
  world_.on_control([&] {
    exported_->start([this, done](const Status& status) {
      path_ = exported_->info().device;
      done->set_value(status);
    });
  });
  return future;
}

std::future<Status> TestExport::begin_stop(bool force) {
  auto done = std::make_shared<std::promise<Status>>();
  auto future = done->get_future();
  world_.on_control(
      [&] { exported_->stop(force, [done](const Status& status) { done->set_value(status); }); });
  return future;
}

std::future<Status> TestExport::begin_resize(std::uint64_t size_blocks) {
  auto done = std::make_shared<std::promise<Status>>();
  auto future = done->get_future();
  world_.on_control([&] {
    device_->set_size(size_blocks);
    exported_->resize([done](const Status& status) { done->set_value(status); });
  });
  return future;
}

Status TestExport::resize(std::uint64_t size_blocks) {
  return begin_resize(size_blocks).get();
}

Status TestExport::start() {
  return begin_start().get();
}

Status TestExport::stop(bool force) {
  Status status = begin_stop(force).get();
  if (status) {
    started_ = false;
  }
  return status;
}

BlockExportInfo TestExport::info() {
  BlockExportInfo info;
  world_.on_control([&] { info = exported_->info(); });
  return info;
}

BlockExportStatistics TestExport::statistics() {
  BlockExportStatistics sum;
  world_.on_control([&] { sum = exported_->statistics(); });
  return sum;
}

std::string TestExport::file_path() const {
  return world_.directory() + "/" + name_ + "/" + name_;
}

}  // namespace nvublk::fuse
