// Real ublk devices on a memory back-end. Needs /dev/ublk-control and root; the guests have both,
// see tests/vm/run. Elsewhere every test says that it was skipped.

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/fd.h"
#include "support/allocation_guard.h"
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
    options_.geometry.size_blocks = 64 * kMebibyte / 512;
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

TEST_F(UblkDeviceTest, TheKernelKnowsTheTrueLimits) {
  for (const std::uint32_t block : {512U, 4096U}) {
    options_.geometry = {};
    options_.geometry.block_size_bytes = block;
    options_.geometry.physical_block_size_bytes = 4096;
    options_.geometry.size_blocks = 64 * kMebibyte / block;
    options_.geometry.optimal_io_size_bytes = 65536;
    options_.geometry.max_transfer_bytes = 256 * 1024;
    options_.geometry.boundary_blocks = 131072 / block;
    options_.geometry.max_discard_blocks = kMebibyte / block;
    options_.geometry.discard_granularity_bytes = 8192;
    options_.geometry.max_write_zeroes_blocks = 2 * kMebibyte / block;
    options_.geometry.volatile_write_cache = true;
    options_.geometry.fua = true;
    export_options_.queues = 2;
    device_.reset();
    ASSERT_EQ(start(), "");
    EXPECT_EQ(sysfs("size"), "131072");
    EXPECT_EQ(sysfs("ro"), "0");
    EXPECT_EQ(sysfs("queue/logical_block_size"), std::to_string(block));
    EXPECT_EQ(sysfs("queue/physical_block_size"), "4096");
    EXPECT_EQ(sysfs("queue/minimum_io_size"), "4096");
    EXPECT_EQ(sysfs("queue/optimal_io_size"), "65536");
    EXPECT_EQ(sysfs("queue/max_hw_sectors_kb"), "256");
    EXPECT_EQ(sysfs("queue/chunk_sectors"), "256");
    EXPECT_EQ(sysfs("queue/discard_max_hw_bytes"), std::to_string(kMebibyte));
    EXPECT_EQ(sysfs("queue/discard_granularity"), "8192");
    EXPECT_EQ(sysfs("queue/write_zeroes_max_bytes"), std::to_string(2 * kMebibyte));
    EXPECT_EQ(sysfs("queue/write_cache"), "write");
    EXPECT_EQ(sysfs("queue/fua"), "1");
    EXPECT_EQ(sysfs("queue/rotational"), "0");
    EXPECT_TRUE(std::filesystem::exists("/sys/block/" + path().substr(5) + "/mq/1"));
    EXPECT_EQ(export_->info().queues, 2U);
    ASSERT_EQ(stop(), "");
  }
}

TEST_F(UblkDeviceTest, ADeviceWithNothingSpecialOffersNothingSpecial) {
  options_.geometry.volatile_write_cache = options_.geometry.fua = false;
  options_.geometry.max_discard_blocks = options_.geometry.max_write_zeroes_blocks = 0;
  export_options_.read_only = true;
  ASSERT_EQ(start(), "");
  EXPECT_EQ(sysfs("ro"), "1");
  EXPECT_EQ(sysfs("queue/discard_max_hw_bytes"), "0");
  EXPECT_EQ(sysfs("queue/write_zeroes_max_bytes"), "0");
  EXPECT_EQ(sysfs("queue/fua"), "0");
  EXPECT_NE(run("dd if=/dev/zero of=$DEV bs=4k count=1 oflag=direct"), 0);
  EXPECT_EQ(device_->counts().of(BlockOp::kWrite), 0U);
}

TEST_F(UblkDeviceTest, FlushFuaDiscardAndWriteZeroesReachTheBackEnd) {
  for (const std::uint32_t block : {512U, 4096U}) {
    options_.geometry.block_size_bytes = 512;
    options_.geometry.size_blocks = 64 * kMebibyte / 512;
    use_block_size(block);
    device_.reset();
    ASSERT_EQ(start(), "");
    const auto fua = device_->counts().fua;
    EXPECT_EQ(run("dd if=/dev/zero of=$DEV bs=4k count=8 oflag=direct,dsync"), 0);
    EXPECT_GE(device_->counts().fua, fua + 8);
    const auto flushes = device_->counts().of(BlockOp::kFlush);
    EXPECT_EQ(run("dd if=/dev/zero of=$DEV bs=4k count=8 conv=fsync"), 0);
    EXPECT_GT(device_->counts().of(BlockOp::kFlush), flushes);

    EXPECT_EQ(run("dd if=/dev/urandom of=$DEV bs=1M count=8 oflag=direct"), 0);
    EXPECT_EQ(run("blkdiscard -o 1M -l 1M $DEV"), 0);
    EXPECT_GT(device_->counts().of(BlockOp::kDiscard), 0U);
    EXPECT_EQ(run("cmp -n 1M -i 1M:0 $DEV /dev/zero"), 0);
    EXPECT_EQ(run("blkdiscard -z -o 4M -l 2M $DEV"), 0);
    EXPECT_GT(device_->counts().of(BlockOp::kWriteZeroes), 0U);
    EXPECT_GT(device_->counts().no_unmap, 0U);
    EXPECT_EQ(run("cmp -n 2M -i 4M:0 $DEV /dev/zero"), 0);
    EXPECT_NE(run("cmp -n 1M -i 3M:0 $DEV /dev/zero"), 0);

    const BlockExportStatistics statistics = export_->statistics();
    EXPECT_EQ(statistics.discards, device_->counts().of(BlockOp::kDiscard));
    EXPECT_EQ(statistics.write_zeroes, device_->counts().of(BlockOp::kWriteZeroes));
    EXPECT_EQ(statistics.flushes, device_->counts().of(BlockOp::kFlush));
    EXPECT_EQ(device_->counts().invalid, 0U);
    ASSERT_EQ(stop(), "");
  }
}

TEST_F(UblkDeviceTest, FourDeepQueuesVerify) {
  for (const std::uint32_t block : {512U, 4096U}) {
    options_.geometry.block_size_bytes = 512;
    options_.geometry.size_blocks = 64 * kMebibyte / 512;
    use_block_size(block);
    options_.late = true;
    export_options_.queues = 4;
    export_options_.depth = 1024;
    device_.reset();
    ASSERT_EQ(start(4), "");
    EXPECT_EQ(export_->info().depth, 1024U);
    EXPECT_EQ(run("fio --name=v --filename=$DEV --rw=randrw --bsrange=4k-1m --size=32m "
                  "--ioengine=libaio --direct=1 --iodepth=256 --numjobs=2 --offset_increment=32m "
                  "--verify=crc32c --verify_fatal=1 --group_reporting"),
              0);
    EXPECT_EQ(export_->statistics().errors, 0U);
    ASSERT_EQ(stop(), "");
  }
}

TEST_F(UblkDeviceTest, AFileSystemWorksAndAMountIsNotPulledAway) {
  for (const std::uint32_t block : {512U, 4096U}) {
    options_.geometry.block_size_bytes = 512;
    options_.geometry.size_blocks = 64 * kMebibyte / 512;
    use_block_size(block);
    device_.reset();
    ASSERT_EQ(start(), "");
    EXPECT_EQ(run("mkfs.ext4 -q $DEV && mkdir -p /tmp/mnt && mount $DEV /tmp/mnt && "
                  "fio --name=f --directory=/tmp/mnt --rw=randrw --bs=4k --size=8m --fsync=16 "
                  "--verify=crc32c"),
              0);
    EXPECT_EQ(stop(), path() + " is mounted on /tmp/mnt; unmount it, or use --force");
    EXPECT_EQ(export_->info().state, "live");
    EXPECT_EQ(run("fstrim /tmp/mnt && umount /tmp/mnt && fsck.ext4 -fn $DEV"), 0);
    EXPECT_GT(device_->counts().of(BlockOp::kDiscard), 0U);
    ASSERT_EQ(stop(), "");
  }
}

TEST_F(UblkDeviceTest, AnOpenDeviceIsNotPulledAwayEither) {
  ASSERT_EQ(start(), "");
  {
    const UniqueFd fd(::open(path().c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(fd);
    EXPECT_NE(stop().find("open in process " + std::to_string(::getpid())), std::string::npos);
    EXPECT_EQ(run("dd if=$DEV of=/dev/null bs=4k count=1 iflag=direct"), 0);
  }
  EXPECT_EQ(stop(), "");
}

TEST_F(UblkDeviceTest, ForceStopsUnderLoadAndFreesTheNumber) {
  options_.late = true;
  export_options_.id = 11;
  ASSERT_EQ(start(), "");
  EXPECT_EQ(path(), "/dev/ublkb11");
  EXPECT_EQ(run("(fio --name=l --filename=$DEV --rw=randrw --bs=4k --time_based --runtime=100 "
                "--ioengine=libaio --direct=1 --iodepth=32 >/tmp/fio 2>&1 </dev/null &)"),
            0);
  ASSERT_TRUE(pool_->run_until([&] { return export_->statistics().reads > 200; }));
  EXPECT_EQ(stop(true), "");
  EXPECT_EQ(pool_->run_command("for i in $(seq 300); do pgrep -x fio >/dev/null || break; "
                               "sleep 0.1; done; ! pgrep -x fio"),
            0);
  // fio has let go of it, so that the number is free.
  ASSERT_TRUE(pool_->run_until([&] { return list_devices()->empty(); }));
}

TEST_F(UblkDeviceTest, ForceStopsAMountedDevice) {
  ASSERT_EQ(start(), "");
  ASSERT_EQ(run("mkfs.ext4 -q $DEV && mkdir -p /tmp/mnt && mount $DEV /tmp/mnt && "
                "cp -r /usr/share/doc/bash /tmp/mnt/"),
            0);
  EXPECT_EQ(stop(true), "");
  EXPECT_EQ(pool_->run_command("umount /tmp/mnt"), 0);
  ASSERT_TRUE(pool_->run_until([&] { return list_devices()->empty(); }));
}

TEST_F(UblkDeviceTest, ForceWaitsForWhatTheBackEndHas) {
  ASSERT_EQ(start(), "");
  ASSERT_EQ(run("true"), 0);
  device_->hold();
  ASSERT_EQ(run("(dd if=$DEV of=/dev/null bs=4k count=1 iflag=direct 2>/tmp/dd </dev/null &)"), 0);
  ASSERT_TRUE(pool_->run_until([&] { return device_->counts().held > 0; }));
  bool stopped = false;
  export_->stop(true, [&](Status status) {
    EXPECT_TRUE(status.has_value());
    stopped = true;
  });
  EXPECT_FALSE(pool_->run_until([&] { return stopped; }, milliseconds(500)));
  EXPECT_EQ(export_->info().state, "stopping");
  EXPECT_STREQ(export_->step_name(), "stop the device");
  device_->release();
  ASSERT_TRUE(pool_->run_until([&] { return stopped; }));
  EXPECT_EQ(export_->info().state, "stopped");
  export_.reset();
}

TEST_F(UblkDeviceTest, ErrorsOfTheBackEndReachTheApplication) {
  ASSERT_EQ(start(), "");
  const auto read_error = [&](int error) {
    device_->fail_with(error);
    const UniqueFd fd(::open(path().c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    alignas(4096) static std::byte buffer[4096];
    return ::pread(fd.get(), buffer, sizeof(buffer), 8192) < 0 ? errno : 0;
  };
  EXPECT_EQ(read_error(ENOSPC), ENOSPC);
  EXPECT_EQ(read_error(ENODATA), ENODATA);
  EXPECT_EQ(read_error(ETIMEDOUT), ETIMEDOUT);
  EXPECT_EQ(read_error(EIO), EIO);
  EXPECT_EQ(read_error(EAGAIN), EIO);
  EXPECT_EQ(read_error(EILSEQ), EILSEQ);
  EXPECT_EQ(read_error(0), 0);
  EXPECT_GE(export_->statistics().errors, 6U);
}

TEST_F(UblkDeviceTest, ATakenNumberIsRefusedAndNothingIsLeft) {
  export_options_.id = 3;
  ASSERT_EQ(start(), "");
  {
    UblkExport second(pool_->shards(), *device_, export_options_);
    std::string text;
    second.start([&](Status status) {
      text = status ? "it started" : status.error().step + ": " + status.error().text;
    });
    ASSERT_TRUE(pool_->run_until([&] { return !text.empty(); }));
    EXPECT_EQ(text, "add the ublk device: /dev/ublkb3 exists already; choose another --id");
    EXPECT_EQ(second.info().state, "stopped");
  }
  EXPECT_EQ(run("dd if=$DEV of=/dev/null bs=4k count=1 iflag=direct"), 0);
  EXPECT_EQ(list_devices()->size(), 1U);
}

TEST_F(UblkDeviceTest, AStartThatIsStoppedHalfWayLeavesNothing) {
  make();
  bool live = false;
  for (int turns = 0; !live && turns < 1000; turns++) {
    export_ = std::make_unique<UblkExport>(pool_->shards(), *device_, export_options_);
    int ended = 0;
    Status started;
    export_->start([&](Status status) {
      started = status;
      ended++;
    });
    for (int i = 0; i < turns && export_->info().state != "live"; i++) {
      pool_->control().reactor().turn_or_wait();
    }
    live = export_->info().state == "live";
    export_->stop(true, [&](Status status) {
      EXPECT_TRUE(status.has_value()) << status.error().text;
      ended++;
    });
    ASSERT_TRUE(pool_->run_until([&] { return ended == 2; })) << export_->step_name();
    EXPECT_EQ(started.has_value(), live) << turns;
    EXPECT_EQ(export_->info().state, "stopped");
    export_.reset();
    const auto left = list_devices();
    ASSERT_TRUE(left.has_value()) << left.error().text;
    ASSERT_TRUE(left->empty()) << turns;
  }
}

TEST_F(UblkDeviceTest, ABackEndThatHangsDoesNotHangTheControlShard) {
  make();
  device_->hold();
  bool started = false;
  export_->start([&](Status status) {
    EXPECT_TRUE(status.has_value());
    started = true;
  });
  // The kernel reads the partition table through us, at the latest when the node is opened.
  ASSERT_TRUE(pool_->run_until([&] { return device_->counts().held > 0; }));
  device_->release();
  ASSERT_TRUE(pool_->run_until([&] { return started; }));
  EXPECT_EQ(stop(), "");
}

TEST_F(UblkDeviceTest, FiftyRoundsLeaveNothingBehind) {
  make();
  const auto open_files = [] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator("/proc/self/fd")) {
      count++;
    }
    return count;
  };
  const auto mappings = [] {
    std::ifstream maps("/proc/self/maps");
    return std::count(std::istreambuf_iterator<char>(maps), {}, '\n');
  };
  ASSERT_EQ(start(), "");
  ASSERT_EQ(stop(), "");
  const std::size_t files = open_files();
  const auto maps = mappings();
  for (int round = 0; round < 50; round++) {
    ASSERT_EQ(start(), "") << round;
    // The kernel denies a device a moment before its number is free again.
    EXPECT_TRUE(path() == "/dev/ublkb0" || path() == "/dev/ublkb1") << round << ": " << path();
    ASSERT_EQ(stop(), "") << round;
  }
  EXPECT_EQ(open_files(), files);
  // Stacks of threads that have ended may stay in the C library's cache.
  EXPECT_LE(mappings(), maps + 4);
  EXPECT_TRUE(list_devices()->empty());
}

TEST_F(UblkDeviceTest, ALiveShardAllocatesNothing) {
  options_.late = true;
  ASSERT_EQ(start(), "");
  for (Shard* shard : pool_->shards().io) {
    shard->post([] { Shard::seal_current_thread(true); });
  }
  const auto before = test::sealed_allocations();
  EXPECT_EQ(run("fio --name=l --filename=$DEV --rw=randrw --bs=4k --size=4m --ioengine=libaio "
                "--direct=1 --iodepth=32 --fsync=8 --numjobs=2"),
            0);
  EXPECT_EQ(test::sealed_allocations(), before);
  for (Shard* shard : pool_->shards().io) {
    shard->post([] { Shard::seal_current_thread(false); });
  }
}

/// A device served by a child process, whose data outlive it in shared memory.
class UblkServerDeathTest : public UblkDeviceTest {
 protected:
  static constexpr std::size_t kBytes = 64 * kMebibyte;

  void SetUp() override {
    UblkDeviceTest::SetUp();
    if (IsSkipped()) {
      return;
    }
    void* memory =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    options_.memory = {static_cast<std::byte*>(memory), kBytes};
    options_.geometry.size_blocks = kBytes / 512;
    options_.late = true;
    start_server();
  }
  void TearDown() override {
    UblkDeviceTest::TearDown();
    kill_server();
    if (!options_.memory.empty()) {
      ::munmap(options_.memory.data(), kBytes);
    }
  }

  void start_server() {
    int ready[2];
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    server_ = ::fork();
    ASSERT_GE(server_, 0);
    if (server_ == 0) {
      serve(ready[1]);
    }
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
  }
  [[noreturn]] void serve(int ready) {
    make();
    export_->start([&](Status status) {
      if (status && ::write(ready, "x", 1) == 1) {
        return;
      }
      ::_exit(1);
    });
    pool_->run_until([] { return false; }, std::chrono::hours(1));
    ::_exit(1);
  }
  void kill_server() {
    if (server_ > 0) {
      ::kill(server_, SIGKILL);
      ::waitpid(server_, nullptr, 0);
      server_ = -1;
    }
  }
  bool wait_quiesced() {
    return pool_->run_until([] {
      const auto devices = list_devices();
      return devices && devices->size() == 1 && devices->front().state == DeviceState::kQuiesced;
    });
  }
  std::string take_over(int id) {
    std::string text;
    bool ended = false;
    export_->take_over(id, [&](Status status) {
      text = status ? "" : status.error().step + ": " + status.error().text;
      ended = true;
    });
    EXPECT_TRUE(pool_->run_until([&] { return ended; }));
    return text;
  }

  pid_t server_ = -1;
};

TEST_F(UblkServerDeathTest, AnOrphanIsFoundAndDeleted) {
  auto devices = list_devices();
  ASSERT_TRUE(devices.has_value());
  ASSERT_EQ(devices->size(), 1U);
  EXPECT_EQ(devices->front().state, DeviceState::kLive);
  EXPECT_EQ(devices->front().mark->owner, owner_of(""));
  make();
  kill_server();
  ASSERT_TRUE(wait_quiesced());
  export_.reset();
  EXPECT_TRUE(delete_device(0).has_value());
  ASSERT_TRUE(pool_->run_until([] { return list_devices()->empty(); }));
  EXPECT_EQ(delete_device(0).error().code, ErrorCode::kNotFound);
}

TEST_F(UblkServerDeathTest, IsTakenOverUnderLoadWithoutAnError) {
  make();
  ASSERT_EQ(
      pool_->run_command("(fio --name=r --filename=/dev/ublkb0 --rw=randwrite --bs=4k --size=32m "
                         "--loops=3 --ioengine=libaio --direct=1 --iodepth=32 --verify=crc32c "
                         "--do_verify=1 >/tmp/fio 2>&1 </dev/null; echo $? >/tmp/fio.rc) &"),
      0);
  ASSERT_TRUE(pool_->run_until([] { return false; }, seconds(1)) || true);
  kill_server();
  ASSERT_TRUE(wait_quiesced());
  ASSERT_EQ(take_over(0), "");
  EXPECT_EQ(path(), "/dev/ublkb0");
  ASSERT_TRUE(pool_->run_until([] { return std::filesystem::exists("/tmp/fio.rc"); }));
  EXPECT_EQ(pool_->run_command("test $(cat /tmp/fio.rc) = 0 || { cat /tmp/fio; false; }"), 0);
  EXPECT_GT(export_->statistics().writes, 0U);
  EXPECT_EQ(export_->statistics().errors, 0U);
  EXPECT_EQ(stop(), "");
}

TEST_F(UblkServerDeathTest, ALiveDeviceOfAnotherServerIsNotTakenOver) {
  make();
  bool ended = false;
  Status taken;
  export_->take_over(0, [&](Status status) {
    taken = status;
    ended = true;
  });
  ASSERT_TRUE(pool_->run_until([&] { return ended; }));
  ASSERT_FALSE(taken.has_value());
  EXPECT_EQ(taken.error().step, "wait until the old server is gone");
  export_.reset();
  EXPECT_EQ(pool_->run_command("dd if=/dev/ublkb0 of=/dev/null bs=4k count=1 iflag=direct"), 0);
  kill_server();
  ASSERT_TRUE(wait_quiesced());
  EXPECT_TRUE(delete_device(0).has_value());
}

}  // namespace
}  // namespace nvublk::ublk
