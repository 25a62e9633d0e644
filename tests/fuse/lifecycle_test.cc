// Starting and stopping: refusals, force, faults, and that nothing is left behind.

#include <chrono>
#include <fstream>

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "engine/fd.h"
#include "fuse/export_fixture.h"
#include "fuse/loop_device.h"

namespace nvublk::fuse {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
/// Only fails a hang.
constexpr auto kPatience = std::chrono::seconds(60);

test::MemoryDevice::Options memory() {
  return {.geometry = test_geometry(4096, 64 * kMiB)};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Lifecycle : public DeviceTest {};

TEST_F(Lifecycle, ReportsTheDeviceOnlyOnceItCanBeOpened) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  EXPECT_EQ(exported.info().device, "");
  ASSERT_TRUE(exported.start());
  const BlockExportInfo info = exported.info();
  EXPECT_EQ(info.device, exported.device_path());
  EXPECT_EQ(info.state, "live");
  EXPECT_EQ(info.frontend, "fuse");
  const UniqueFd device(::open(info.device.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(device);
  EXPECT_TRUE(contains(output_of("losetup -nO DIO " + info.device), "1"));
}

TEST_F(Lifecycle, AResizedDeviceHasTheNewSizeAtOnceAndAllOfItWorks) {
  ExportWorld world(data_shards());
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  const std::string size = "blockdev --getsize64 " + exported.device_path();
  Status resized = exported.resize(32 * kMiB / 4096);
  ASSERT_TRUE(resized) << resized.error().text;
  EXPECT_EQ(output_of(size), std::to_string(32 * kMiB));
  const UniqueFd open(::open(exported.device_path().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(open) << "also while it is open";
  resized = exported.resize(64 * kMiB / 4096);
  ASSERT_TRUE(resized) << resized.error().text;
  EXPECT_EQ(output_of(size), std::to_string(64 * kMiB));
  EXPECT_EQ(run_command("dd if=/dev/urandom of=" + exported.device_path() +
                        " bs=1M seek=62 count=2 oflag=direct conv=fsync status=none"),
            0);
  EXPECT_EQ(run_command("cmp -s -n 1048576 -i 66060288:0 " + exported.device_path() + " /dev/zero"),
            1)
      << "what was written beyond the old end is there";
  resized = exported.resize(16 * kMiB / 4096);
  ASSERT_TRUE(resized) << resized.error().text;
  EXPECT_EQ(output_of(size), std::to_string(16 * kMiB));
}

TEST_F(Lifecycle, AStopDuringAResizeComesAfterIt) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  std::future<Status> resized = exported.begin_resize(16 * kMiB / 4096);
  std::future<Status> stopped = exported.begin_stop(false);
  ASSERT_EQ(resized.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(resized.get());
  ASSERT_EQ(stopped.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(stopped.get());
  EXPECT_EQ(exported.info().state, "stopped");
}

TEST_F(Lifecycle, TwentyRoundsLeaveNothingBehind) {
  ExportWorld world(2);
  std::size_t descriptors = 0;
  for (int round = 0; round < 20; round++) {
    {
      TestExport exported(world, memory(), named("disk"));
      ASSERT_TRUE(exported.start());
      const Status stopped = exported.stop();
      ASSERT_TRUE(stopped) << stopped.error().text;
      EXPECT_EQ(exported.info().state, "stopped");
    }
    EXPECT_EQ(count_loop_devices(world.directory()), 0U);
    EXPECT_EQ(count_mounts(world.directory()), 0U);
    if (round == 0) {
      descriptors = count_descriptors();
    }
    EXPECT_EQ(count_descriptors(), descriptors);
  }
}

TEST_F(Lifecycle, TenExportsAtOnce) {
  ExportWorld world(2);
  std::vector<std::unique_ptr<TestExport>> exports;
  std::vector<std::future<Status>> started;
  for (int i = 0; i < 10; i++) {
    exports.push_back(
        std::make_unique<TestExport>(world, memory(), named("disk" + std::to_string(i))));
    started.push_back(exports.back()->begin_start());
  }
  for (auto& start : started) {
    const Status status = start.get();
    EXPECT_TRUE(status) << status.error().text;
  }
  for (auto& exported : exports) {
    EXPECT_EQ(run_command("dd if=/dev/zero of=" + exported->device_path() +
                          " bs=1M count=8 oflag=direct"),
              0);
    EXPECT_TRUE(exported->stop());
  }
}

TEST_F(Lifecycle, StopIsRefusedWhileMounted) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  const std::string at = world.directory() + "/m nt";
  ASSERT_EQ(run_command("mkfs.ext4 -q " + exported.device_path() + " && mkdir '" + at +
                        "' && mount " + exported.device_path() + " '" + at + "'"),
            0);
  const Status refused = exported.stop();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_TRUE(contains(refused.error().text, "mounted on " + at)) << refused.error().text;
  EXPECT_EQ(exported.info().state, "live");
  EXPECT_EQ(run_command("echo still here > '" + at + "/file' && sync"), 0);
  EXPECT_EQ(run_command("umount '" + at + "' && rmdir '" + at + "'"), 0);
  EXPECT_TRUE(exported.stop());
}

TEST_F(Lifecycle, StopIsRefusedWhileOpenAndNamesTheProcess) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  for (const std::string& path : {exported.device_path(), exported.file_path()}) {
    const UniqueFd user(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(user);
    const Status refused = exported.stop();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
    EXPECT_TRUE(contains(refused.error().text, "(pid " + std::to_string(::getpid()) + ")"))
        << refused.error().text;
  }
  EXPECT_EQ(run_command("dd if=" + exported.device_path() + " of=/dev/null bs=1M"), 0);
  EXPECT_TRUE(exported.stop());
}

TEST_F(Lifecycle, ForceEndsAMountedDeviceAndTheLoopDeviceGoesWithTheMount) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  const std::string at = world.directory() + "/mnt";
  ASSERT_EQ(run_command("mkfs.ext4 -q " + exported.device_path() + " && mkdir " + at +
                        " && mount " + exported.device_path() + " " + at),
            0);
  auto stopping = exported.begin_stop(true);
  ASSERT_EQ(stopping.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(stopping.get());
  EXPECT_EQ(exported.info().state, "stopped");
  EXPECT_EQ(run_command("umount " + at + " && rmdir " + at), 0);
  EXPECT_EQ(output_of("losetup -nO BACK-FILE " + exported.device_path() + " 2>/dev/null"), "");
  EXPECT_EQ(count_mounts(world.directory()), 0U);
}

TEST_F(Lifecycle, ForceWaitsForTheBackEndOnly) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  exported.device().hold();
  const std::string reader =
      "(dd if=" + exported.device_path() + " of=/dev/null bs=4k count=1 iflag=direct; true) ";
  std::future<int> blocked = std::async(std::launch::async, [&] { return run_command(reader); });
  while (exported.device().counts().held == 0) {
    ::usleep(1000);
  }
  auto stopping = exported.begin_stop(true);
  // The reader gets its error before the back-end has answered.
  EXPECT_EQ(blocked.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(stopping.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  exported.device().release();
  ASSERT_EQ(stopping.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(stopping.get());
  EXPECT_EQ(count_loop_devices(world.directory()), 0U);
}

TEST_F(Lifecycle, AStartThatHangsInTheBackEndCanBeStopped) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  // The kernel looks for partitions while it configures the loop device.
  exported.device().hold();
  auto starting = exported.begin_start();
  while (exported.device().counts().held == 0) {
    ::usleep(1000);
  }
  auto stopping = exported.begin_stop(true);
  exported.device().release();
  ASSERT_EQ(stopping.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(stopping.get());
  const Status started = starting.get();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(count_loop_devices(world.directory()), 0U);
  EXPECT_EQ(count_mounts(world.directory()), 0U);
}

TEST_F(Lifecycle, AnAbortedConnectionShowsAndCanBeStopped) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  // A lazy unmount alone would leave the loop device's reference; abort is what fusectl does.
  const std::string control = world.directory() + "/ctl";
  ASSERT_EQ(run_command("mkdir " + control + " && mount -t fusectl none " + control), 0);
  const std::string device_number =
      output_of("mountpoint -d " + world.directory() + "/disk | cut -d: -f2");
  EXPECT_EQ(run_command("echo 1 > " + control + "/" + device_number + "/abort"), 0);
  EXPECT_EQ(run_command("umount " + control + " && rmdir " + control), 0);
  const auto deadline = Clock::now() + kPatience;
  while (exported.info().state == "live" && Clock::now() < deadline) {
    ::usleep(1000);
  }
  EXPECT_EQ(exported.info().state, "failed");
  EXPECT_TRUE(exported.stop());
  EXPECT_EQ(count_loop_devices(world.directory()), 0U);
}

TEST_F(Lifecycle, ALoopDeviceThatSomebodyElseClearedIsNoObstacle) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  ASSERT_EQ(run_command("losetup -d " + exported.device_path()), 0);
  EXPECT_TRUE(exported.stop());
}

TEST_F(Lifecycle, TakesAwayWhatACrashedDaemonLeft) {
  ExportWorld world;
  const std::string at = world.directory() + "/disk";
  ASSERT_EQ(run_command("mkdir " + at), 0);
  {
    // A mount whose server is gone.
    const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
    const std::string data =
        "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=0,group_id=0";
    ASSERT_EQ(::mount("nvublk", at.c_str(), "fuse.nvublk", 0, data.c_str()), 0);
  }
  TestExport exported(world, memory(), named("disk"));
  const Status started = exported.start();
  EXPECT_TRUE(started) << started.error().text;
}

TEST_F(Lifecycle, ASecondExportOfTheSameNameIsRefused) {
  ExportWorld world;
  TestExport first(world, memory(), named("disk"));
  ASSERT_TRUE(first.start());
  {
    TestExport second(world, memory(), named("disk"));
    const Status refused = second.start();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
    EXPECT_EQ(refused.error().step, "make the mount point");
  }
  EXPECT_EQ(run_command("dd if=" + first.device_path() + " of=/dev/null bs=1M count=1"), 0);
}

TEST_F(Lifecycle, ANumberThatIsTakenIsRefused) {
  ExportWorld world;
  TestExport first(world, memory(), named("disk"));
  ASSERT_TRUE(first.start());
  BlockExportOptions options = named("other");
  options.id = std::stoi(first.device_path().substr(std::string("/dev/loop").size()));
  TestExport second(world, memory(), options);
  const Status refused = second.start();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(refused.error().step, "configure the loop device");
}

TEST_F(Lifecycle, BlocksThatTheLoopDriverCannotHaveAreRefused) {
  ExportWorld world;
  TestExport exported(world, {.geometry = test_geometry(3 * 512, 3 * 512 * 1024)}, named("disk"));
  const Status refused = exported.start();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().step, "configure the loop device");
  EXPECT_TRUE(contains(refused.error().text, "1536 bytes")) << refused.error().text;
  EXPECT_EQ(count_mounts(world.directory()), 0U);
}

TEST_F(Lifecycle, ARunDirectoryThatCannotBeMadeIsRefused) {
  ExportWorld world;
  TestExport exported(world, memory(), named("di/sk"));
  const Status refused = exported.start();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace nvublk::fuse
