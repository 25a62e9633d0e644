// Real devices on this machine's kernel: FUSE, loop, and the tools that use them.

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "engine/fd.h"
#include "fuse/export_fixture.h"

namespace nvublk::fuse {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

class BlockSizes : public DeviceTest, public testing::WithParamInterface<std::uint32_t> {};

TEST_P(BlockSizes, CarriesAFileSystem) {
  ExportWorld world(2);
  TestExport exported(world, {.geometry = test_geometry(GetParam(), 256 * kMiB)}, named("disk"));
  const Status started = exported.start();
  ASSERT_TRUE(started) << started.error().step << ": " << started.error().text;
  const std::string path = exported.device_path();
  EXPECT_EQ(output_of("blockdev --getss " + path), std::to_string(GetParam()));
  EXPECT_EQ(output_of("blockdev --getsize64 " + path), std::to_string(256 * kMiB));
  ASSERT_EQ(run_command("mkfs.ext4 -q " + path), 0);
  const std::string mount_point = world.directory() + "/mnt";
  ASSERT_EQ(run_command("mkdir " + mount_point + " && mount " + path + " " + mount_point), 0);
  EXPECT_EQ(run_command("cp -r /usr/include/linux " + mount_point +
                        " && sync && echo 3 > /proc/sys/vm/drop_caches && diff -r "
                        "/usr/include/linux " +
                        mount_point + "/linux"),
            0);
  EXPECT_EQ(run_command("rm -r " + mount_point + "/linux && fstrim " + mount_point), 0);
  EXPECT_EQ(run_command("umount " + mount_point + " && rmdir " + mount_point), 0);
  EXPECT_EQ(run_command("e2fsck -fn " + path), 0);
  const BlockExportStatistics statistics = exported.statistics();
  EXPECT_GT(statistics.flushes, 0U);
  EXPECT_GT(statistics.discards, 0U);
  EXPECT_EQ(statistics.errors, 0U);
  EXPECT_EQ(exported.device().counts().invalid, 0U);
  EXPECT_TRUE(exported.stop());
}

INSTANTIATE_TEST_SUITE_P(Device, BlockSizes, testing::Values(512U, 4096U));

}  // namespace
}  // namespace nvublk::fuse
