// Real devices on this machine's kernel: FUSE, loop, and the tools that use them.

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "engine/fd.h"
#include "fuse/export_fixture.h"
#include "support/allocation_guard.h"

namespace nvublk::fuse {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

test::MemoryDevice::Options memory(std::uint32_t block_size_bytes = 4096,
                                   std::uint64_t size_bytes = 64 * kMiB) {
  return {.geometry = test_geometry(block_size_bytes, size_bytes)};
}

std::string said(const Status& status) {
  return status ? "" : status.error().step + ": " + status.error().text;
}

class BlockSizes : public DeviceTest, public testing::WithParamInterface<std::uint32_t> {};

TEST_P(BlockSizes, CarriesAFileSystem) {
  ExportWorld world(data_shards());
  TestExport exported(world, memory(GetParam(), 256 * kMiB), named("disk"));
  const Status started = exported.start();
  ASSERT_TRUE(started) << said(started);
  const std::string path = exported.device_path();
  EXPECT_EQ(output_of("blockdev --getss " + path), std::to_string(GetParam()));
  EXPECT_EQ(output_of("blockdev --getsize64 " + path), std::to_string(256 * kMiB));
  ASSERT_EQ(run_command("mkfs.ext4 -q " + path), 0);
  const std::string at = world.directory() + "/mnt";
  ASSERT_EQ(run_command("mkdir " + at + " && mount " + path + " " + at), 0);
  EXPECT_EQ(run_command("cp -r /usr/include/linux " + at +
                        " && sync && echo 3 > /proc/sys/vm/drop_caches"
                        " && diff -r /usr/include/linux " +
                        at + "/linux"),
            0);
  EXPECT_EQ(run_command("rm -r " + at + "/linux && fstrim " + at), 0);
  EXPECT_EQ(run_command("umount " + at + " && rmdir " + at), 0);
  EXPECT_EQ(run_command("e2fsck -fn " + path), 0);
  const BlockExportStatistics statistics = exported.statistics();
  EXPECT_GT(statistics.flushes, 0U);
  EXPECT_GT(statistics.discards, 0U);
  EXPECT_EQ(statistics.errors, 0U);
  EXPECT_EQ(statistics.in_flight, 0U);
  EXPECT_EQ(exported.device().counts().invalid, 0U);
  const Status stopped = exported.stop();
  EXPECT_TRUE(stopped) << said(stopped);
}

TEST_P(BlockSizes, KeepsWhatFioWrites) {
  ExportWorld world(data_shards());
  test::MemoryDevice::Options device = memory(GetParam());
  device.late = true;
  TestExport exported(world, device, named("disk"));
  ASSERT_TRUE(exported.start());
  const std::string block = std::to_string(GetParam());
  for (const std::string& sizes :
       {std::string("--bs=4k"), std::string("--bs=1m"),
        "--bsrange=" + block + "-1m --blockalign=" + block + " --bs_unaligned=0"}) {
    EXPECT_EQ(run_command("fio --name=t --ioengine=libaio --direct=1 --rw=randwrite --iodepth=32 "
                          "--verify=crc32c --verify_fatal=1 --fsync=64 --randseed=7 --size=64m "
                          "--filename=" +
                          exported.device_path() + " " + sizes),
              0);
  }
  EXPECT_GT(exported.device().counts().of(BlockOp::kFlush), 0U);
  EXPECT_EQ(exported.device().counts().invalid, 0U);
  EXPECT_EQ(exported.statistics().errors, 0U);
  EXPECT_TRUE(exported.stop());
}

INSTANTIATE_TEST_SUITE_P(Device, BlockSizes, testing::Values(512U, 4096U));

class Device : public DeviceTest {};

TEST_F(Device, SplitsWhatIsTooLargeForTheBackEnd) {
  ExportWorld world;
  test::MemoryDevice::Options device = memory(512);
  device.geometry.max_transfer_bytes = 2048;
  device.geometry.boundary_blocks = 3;
  device.geometry.max_write_zeroes_blocks = 7;
  TestExport exported(world, device, named("disk"));
  ASSERT_TRUE(exported.start());
  EXPECT_EQ(run_command("fio --name=t --ioengine=libaio --direct=1 --rw=randwrite --iodepth=16 "
                        "--bs=64k --verify=crc32c --size=4m --filename=" +
                        exported.device_path()),
            0);
  EXPECT_EQ(run_command("blkdiscard -o 4096 -l 65536 " + exported.device_path()), 0);
  EXPECT_EQ(run_command("cmp -n 65536 -i 4096:0 " + exported.device_path() + " /dev/zero"), 0);
  EXPECT_EQ(exported.device().counts().invalid, 0U);
  EXPECT_EQ(exported.statistics().errors, 0U);
}

TEST_F(Device, WorksWithoutMultishotReads) {
  ExportWorld world(data_shards());
  TestExport exported(world, memory(), named("disk"), false);
  ASSERT_TRUE(exported.start());
  EXPECT_EQ(run_command("fio --name=t --ioengine=libaio --direct=1 --rw=randwrite --iodepth=32 "
                        "--bs=4k --verify=crc32c --size=16m --filename=" +
                        exported.device_path()),
            0);
  EXPECT_EQ(exported.statistics().errors, 0U);
  EXPECT_TRUE(exported.stop());
}

TEST_F(Device, ServesMoreRequestsThanItHasSlots) {
  ExportWorld world;
  for (const bool multishot : {true, false}) {
    BlockExportOptions options = named("disk");
    options.depth = 2;
    test::MemoryDevice::Options device = memory();
    device.late = true;
    TestExport exported(world, device, options, multishot);
    ASSERT_TRUE(exported.start());
    EXPECT_EQ(run_command("fio --name=t --ioengine=libaio --direct=1 --rw=randwrite --iodepth=64 "
                          "--bs=4k --verify=crc32c --size=8m --filename=" +
                          exported.device_path()),
              0);
    EXPECT_TRUE(exported.stop());
  }
}

TEST_F(Device, ALiveShardAllocatesNothing) {
  ExportWorld world(2);
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  const std::uint64_t before = test::sealed_allocations();
  world.on_io([](Shard&) { Shard::seal_current_thread(true); });
  EXPECT_EQ(run_command("fio --name=t --ioengine=libaio --direct=1 --rw=randrw --iodepth=64 "
                        "--bsrange=4k-256k --fsync=32 --size=32m --filename=" +
                        exported.device_path()),
            0);
  EXPECT_EQ(
      run_command("ls -l " + exported.file_path() + " && blkdiscard " + exported.device_path()), 0);
  world.on_io([](Shard&) { Shard::seal_current_thread(false); });
  EXPECT_EQ(test::sealed_allocations(), before);
}

TEST_F(Device, ZeroesAndHolesReadAsZeroes) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  std::memset(exported.device().contents().data(), 0x5a, kMiB);
  ASSERT_TRUE(exported.start());
  EXPECT_EQ(run_command("blkdiscard -l 65536 " + exported.device_path()), 0);
  EXPECT_EQ(run_command("blkdiscard -z -o 65536 -l 65536 " + exported.device_path()), 0);
  EXPECT_EQ(run_command("fallocate -z -o 131072 -l 4096 " + exported.file_path()), 0);
  const auto contents = exported.device().contents();
  for (std::size_t i = 0; i < 135168; i++) {
    ASSERT_EQ(contents[i], std::byte{0}) << i;
  }
  EXPECT_EQ(contents[135168], std::byte{0x5a});
  EXPECT_GE(exported.statistics().discards, 1U);
  EXPECT_GE(exported.statistics().write_zeroes, 1U);
}

TEST_F(Device, OffersNoDiscardWhenTheBackEndCannotWriteZeroes) {
  ExportWorld world;
  test::MemoryDevice::Options device = memory();
  device.geometry.max_write_zeroes_blocks = 0;
  TestExport exported(world, device, named("disk"));
  ASSERT_TRUE(exported.start());
  EXPECT_EQ(output_of("lsblk -bdno DISC-MAX " + exported.device_path() + " | tr -d ' '"), "0");
  EXPECT_EQ(run_command("mkfs.ext4 -q " + exported.device_path()), 0);
  EXPECT_EQ(exported.statistics().errors, 0U);
}

TEST_F(Device, ReadOnlyExportsCannotBeWritten) {
  ExportWorld world;
  BlockExportOptions options = named("disk");
  options.read_only = true;
  TestExport exported(world, memory(), options);
  ASSERT_TRUE(exported.start());
  EXPECT_EQ(output_of("blockdev --getro " + exported.device_path()), "1");
  EXPECT_NE(output_of("dd if=/dev/zero of=" + exported.device_path() +
                      " bs=4k count=1 oflag=direct 2>&1; echo $?"),
            "0");
  EXPECT_EQ(exported.device().counts().of(BlockOp::kWrite), 0U);
  EXPECT_EQ(run_command("dd if=" + exported.device_path() + " of=/dev/null bs=1M"), 0);
}

TEST_F(Device, TheFileRefusesUnalignedIo) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  const UniqueFd file(::open(exported.file_path().c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file);
  std::array<char, 8192> buffer{};
  EXPECT_EQ(::pread(file.get(), buffer.data(), 100, 0), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(::pwrite(file.get(), buffer.data(), 4096, 512), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(::pwrite(file.get(), buffer.data(), 4096, 64 * kMiB), -1);
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_EQ(::pread(file.get(), buffer.data(), 8192, 64 * kMiB - 4096), 4096);
  EXPECT_EQ(::pread(file.get(), buffer.data(), 4096, 64 * kMiB), 0);
  EXPECT_EQ(::fsync(file.get()), 0);
  EXPECT_EQ(output_of("ls " + world.directory() + "/disk"), "disk");
}

TEST_F(Device, BuffersThatDoNotBeginAtAPageAreCutBetweenBlocks) {
  ExportWorld world;
  TestExport exported(world, memory(4096), named("disk"));
  ASSERT_TRUE(exported.start());
  // fio aligns to iomem_align: 512 is what the loop device asks for.
  EXPECT_EQ(run_command("fio --name=t --ioengine=libaio --direct=1 --rw=write --iodepth=8 --bs=1m "
                        "--iomem_align=512 --mem=mmap --verify=crc32c --size=32m --filename=" +
                        exported.device_path()),
            0);
  alignas(4096) static std::array<char, 4 * kMiB + 4096> memory_block;
  const UniqueFd device(::open(exported.device_path().c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  EXPECT_EQ(::pwrite(device.get(), memory_block.data() + 512, 4 * kMiB, 0), 4L * 1024 * 1024);
  EXPECT_EQ(::pread(device.get(), memory_block.data() + 1536, 4 * kMiB - 4096, 4096),
            4L * 1024 * 1024 - 4096);
  EXPECT_EQ(exported.statistics().errors, 0U);
}

TEST_F(Device, ErrorsOfTheBackEndReachTheReader) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  exported.device().fail_with(EIO);
  const UniqueFd file(::open(exported.file_path().c_str(), O_RDWR | O_CLOEXEC));
  std::array<char, 4096> buffer{};
  EXPECT_EQ(::pread(file.get(), buffer.data(), buffer.size(), 0), -1);
  EXPECT_EQ(errno, EIO);
  // An unknown operation of the back-end must not turn flushes off for good.
  exported.device().fail_with(ENOSYS);
  EXPECT_EQ(::fsync(file.get()), -1);
  exported.device().fail_with(0);
  const std::uint64_t flushes = exported.device().counts().of(BlockOp::kFlush);
  EXPECT_EQ(::fsync(file.get()), 0);
  EXPECT_EQ(exported.device().counts().of(BlockOp::kFlush), flushes + 1);
  EXPECT_EQ(exported.statistics().errors, 2U);
}

TEST_F(Device, AnInterruptedReaderLeavesTheOthersAlone) {
  ExportWorld world;
  TestExport exported(world, memory(), named("disk"));
  ASSERT_TRUE(exported.start());
  exported.device().hold();
  ASSERT_EQ(
      run_command("dd if=" + exported.file_path() +
                  " of=/dev/null bs=4k count=1 >/dev/null 2>&1 & PID=$!; sleep 0.5; kill -KILL "
                  "$PID"),
      0);
  exported.device().release();
  EXPECT_EQ(run_command("dd if=" + exported.file_path() + " of=/dev/null bs=1M"), 0);
  EXPECT_EQ(exported.statistics().in_flight, 0U);
}

}  // namespace
}  // namespace nvublk::fuse
