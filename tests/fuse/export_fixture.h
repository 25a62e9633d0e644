#pragma once

// A FuseExport on a device in memory, its shards, and what a test does with a block device.

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/block_export.h"
#include "engine/shard.h"
#include "engine/shard_set.h"
#include "fuse/fuse_export.h"
#include "support/memory_device.h"

namespace nvublk::fuse {

/// Runs a shell command; its exit status. What it printed is shown if that is not 0.
int run_command(const std::string& command);
/// What a shell command prints, without the last newline.
std::string output_of(const std::string& command);
/// Open descriptors of this process.
std::size_t count_descriptors();
/// Loop devices whose file is below `directory`.
std::size_t count_loop_devices(const std::string& directory);
/// Mounts at or below `directory`.
std::size_t count_mounts(const std::string& directory);

/// The control shard, `io_shards` I/O shards, and a run directory that goes away with it.
class ExportWorld {
 public:
  explicit ExportWorld(unsigned io_shards = 1);
  ~ExportWorld();

  const ShardSet& shards() const { return set_; }
  const std::string& directory() const { return directory_; }

  /// Runs `task` on the control shard and waits for it.
  void on_control(const std::function<void()>& task);
  /// Runs `task` on each I/O shard and waits for it.
  void on_io(const std::function<void(Shard&)>& task);
  /// Summed over the I/O shards.
  Reactor::Counters io_counters();

 private:
  std::unique_ptr<Shard> control_;
  std::vector<std::unique_ptr<Shard>> io_shards_;
  ShardSet set_;
  std::string directory_;
};

/// How many I/O shards a test whose data is checked takes: the order of their accesses to the
/// device's memory comes from the kernel, which ThreadSanitizer cannot see.
unsigned data_shards();

BlockGeometry test_geometry(std::uint32_t block_size_bytes, std::uint64_t size_bytes);
BlockExportOptions named(const std::string& name);

/// One export. Forces it to stop when it goes out of scope.
class TestExport {
 public:
  TestExport(ExportWorld& world, test::MemoryDevice::Options device, BlockExportOptions options,
             bool multishot = true);
  ~TestExport();

  Status start();
  Status stop(bool force = false);
  /// Gives the device another size and has the export show it.
  Status resize(std::uint64_t size_blocks);
  std::future<Status> begin_resize(std::uint64_t size_blocks);
  std::future<Status> begin_start();
  std::future<Status> begin_stop(bool force);
  BlockExportInfo info();
  BlockExportStatistics statistics();

  const std::string& device_path() const { return path_; }
  std::string file_path() const;
  test::MemoryDevice& device() { return *device_; }

 private:
  ExportWorld& world_;
  std::unique_ptr<test::MemoryDevice> device_;
  std::unique_ptr<FuseExport> exported_;
  std::string name_;
  std::string path_;
  bool started_ = false;
};

/// Base of tests that make devices; skipped, with the reason, where that cannot work.
class DeviceTest : public testing::Test {
 protected:
  void SetUp() override;
};

}  // namespace nvublk::fuse
