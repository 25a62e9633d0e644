#include "ublk/holders.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace nvublk::ublk {
namespace {

namespace fs = std::filesystem;

/// A /proc, /sys and /dev of our own with an unused ublkb0 that has one partition.
class HoldersTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("holders-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    paths_ = {root_ / "proc", root_ / "sys", root_ / "dev"};
    write("sys/block/ublkb0/dev", "259:1");
    write("sys/block/ublkb0/ublkb0p1/dev", "259:2");
    fs::create_directories(root_ / "sys/block/ublkb0/holders");
    fs::create_directories(root_ / "sys/block/ublkb0/ublkb0p1/holders");
    write("sys/block/ublkb01/dev", "259:9");
    write("proc/self/mountinfo", "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    write("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n");
    fs::create_directories(root_ / "proc/1/fd");
    write("dev/ublkb0", "");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path, std::ios::app) << text;
  }
  std::string user() const {
    const Status status = check_unused("ublkb0", paths_);
    EXPECT_TRUE(status || status.error().code == ErrorCode::kBusy);
    return status ? "" : status.error().text;
  }

  fs::path root_;
  SystemPaths paths_;
};

TEST_F(HoldersTest, NobodyUsesIt) {
  EXPECT_EQ(user(), "");
}

TEST_F(HoldersTest, AMountIsNamedWithItsRealPath) {
  write("proc/self/mountinfo", "30 21 259:1 / /mnt/my\\040disk rw shared:1 - ext4 /dev/x rw\n");
  EXPECT_EQ(user(), "/dev/ublkb0 is mounted on /mnt/my disk; unmount it, or use --force");
}

TEST_F(HoldersTest, AMountedPartitionCounts) {
  write("proc/self/mountinfo", "30 21 259:2 / /boot rw - vfat /dev/x rw\n");
  EXPECT_NE(user().find("mounted on /boot"), std::string::npos);
}

TEST_F(HoldersTest, AFileSystemWithItsOwnDeviceNumberIsFoundByItsSource) {
  write("proc/self/mountinfo",
        "30 21 0:50 /sub /data rw - btrfs " + (root_ / "dev/ublkb0p1").string() + " rw\n");
  EXPECT_NE(user().find("mounted on /data"), std::string::npos);
}

TEST_F(HoldersTest, AnotherDiskWithALongerNumberDoesNotCount) {
  write("proc/self/mountinfo",
        "30 21 259:9 / /a rw - ext4 " + (root_ / "dev/ublkb01").string() + " rw\n");
  write("proc/swaps", (root_ / "dev/ublkb01").string() + " partition 1 0 -2\n");
  EXPECT_EQ(user(), "");
}

TEST_F(HoldersTest, SwapStackedDevicesLoopsAndProcessesAreNamed) {
  fs::create_symlink(root_ / "dev/ublkb0p1", root_ / "proc/1/fd/3");
  write("proc/1/comm", "fio\n");
  EXPECT_NE(user().find("open in process 1 (fio)"), std::string::npos);
  write("sys/block/loop3/loop/backing_file", (root_ / "dev/ublkb0").string() + "\n");
  EXPECT_NE(user().find("used by /dev/loop3"), std::string::npos);
  fs::create_directories(root_ / "sys/block/ublkb0/ublkb0p1/holders/dm-0");
  write("sys/block/dm-0/dm/name", "vg-root\n");
  EXPECT_NE(user().find("used by dm-0 (vg-root)"), std::string::npos);
  write("proc/swaps", (root_ / "dev/ublkb0").string() + " partition 1 0 -2\n");
  EXPECT_NE(user().find("used as swap"), std::string::npos);
}

}  // namespace
}  // namespace nvublk::ublk
