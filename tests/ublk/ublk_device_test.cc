// Real ublk devices on a memory back-end. Needs /dev/ublk-control and root; the guests have both,
// see tests/vm/run. Elsewhere every test says that it was skipped.

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/fd.h"
#include "support/memory_device.h"
#include "support/shard_pool.h"
#include "ublk/devices.h"
#include "ublk/features.h"
#include "ublk/ublk_export.h"

namespace nvublk::ublk {
namespace {

using test::MemoryDevice;
using test::ShardPool;

constexpr std::uint64_t kMebibyte = 1024 * 1024;

class UblkDeviceTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto features = probe_features();
    reason_ = features ? "" : features.error().text;
  }
  void SetUp() override {
    if (!reason_.empty()) {
      GTEST_SKIP() << "NOT TESTED: " << reason_;
    }
    options_.geometry.size_blocks = 256 * kMebibyte / 512;
    options_.geometry.max_transfer_bytes = kMebibyte;
    options_.geometry.max_discard_blocks = 65536;
    options_.geometry.max_write_zeroes_blocks = 65536;
    options_.geometry.volatile_write_cache = true;
    options_.geometry.fua = true;
    export_options_.name = "test";
    export_options_.depth = 64;
  }
  void TearDown() override {
    if (export_) {
      EXPECT_EQ(stop(true), "");
    }
  }

  void use_block_size(std::uint32_t bytes) {
    BlockGeometry& geometry = options_.geometry;
    geometry.size_blocks = geometry.size_bytes() / bytes;
    geometry.block_size_bytes = geometry.physical_block_size_bytes = bytes;
  }
  /// Makes the device; the error's text, "" if there is none.
  std::string start(unsigned shards = 2) {
    make(shards);
    std::string text = "no answer";
    bool ended = false;
    export_->start([&](Status status) {
      text = status ? "" : status.error().step + ": " + status.error().text;
      ended = true;
    });
    EXPECT_TRUE(pool_->run_until([&] { return ended; }));
    return text;
  }
  void make(unsigned shards = 2) {
    if (!pool_) {
      pool_ = std::make_unique<ShardPool>(shards);
    }
    if (!device_) {
      device_ = std::make_unique<MemoryDevice>(options_, pool_->shards().io);
    }
    export_ = std::make_unique<UblkExport>(pool_->shards(), *device_, export_options_);
  }
  std::string stop(bool force = false) {
    std::string text = "no answer";
    bool ended = false;
    export_->stop(force, [&](Status status) {
      text = status ? "" : status.error().text;
      ended = true;
    });
    EXPECT_TRUE(pool_->run_until([&] { return ended; }));
    if (text.empty()) {
      export_.reset();
    }
    return text;
  }
  std::string path() const { return export_->info().device; }
  std::string sysfs(const std::string& name) {
    std::ifstream file("/sys/block/" + path().substr(5) + "/" + name);
    std::string value;
    file >> value;
    return value;
  }
  /// `DEV` stands for the device.
  int run(const std::string& command) {
    return pool_->run_command("export DEV=" + path() + "; set -e; " + command + " >/tmp/out 2>&1");
  }

  static inline std::string reason_;
  MemoryDevice::Options options_;
  BlockExportOptions export_options_;
  std::unique_ptr<ShardPool> pool_;
  std::unique_ptr<MemoryDevice> device_;
  std::unique_ptr<UblkExport> export_;
};

TEST_F(UblkDeviceTest, ReadsBackWhatWasWrittenThroughTheBlockDevice) {
  ASSERT_EQ(start(), "");
  EXPECT_EQ(export_->info().state, "live");
  EXPECT_EQ(run("dd if=/dev/urandom of=/tmp/data bs=1M count=32 status=none && "
                "dd if=/tmp/data of=$DEV bs=1M oflag=direct status=none && "
                "dd if=$DEV of=/tmp/back bs=64k count=512 iflag=direct status=none && "
                "cmp /tmp/data /tmp/back"),
            0);
  const BlockExportStatistics statistics = export_->statistics();
  EXPECT_GE(statistics.write_bytes, 32 * kMebibyte);
  EXPECT_GE(statistics.read_bytes, 32 * kMebibyte);
  EXPECT_EQ(statistics.errors, 0U);
  EXPECT_EQ(device_->counts().invalid, 0U);
  EXPECT_EQ(stop(), "");
}

}  // namespace
}  // namespace nvublk::ublk
