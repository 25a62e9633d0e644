// Drives as sysfs shows them, in folders of our own; and what taking and giving back writes there.

#include "service/pci_devices.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "service/pci_binding.h"
#include "service/temporary_folder.h"

namespace nvublk::service {
namespace {

namespace fs = std::filesystem;

class PciDevicesTest : public testing::Test {
 protected:
  void SetUp() override {
    paths_ = {folder_ / "sys", folder_ / "proc", folder_ / "dev"};
    fs::create_directories(folder_ / "proc");
    write("proc/self/mountinfo", "");
    write("proc/swaps", "Filename\n");
    fs::create_directories(folder_ / "dev");
    fs::create_directories(folder_ / "sys/bus/pci/drivers/nvme");
    fs::create_directories(folder_ / "sys/bus/pci/drivers/vfio-pci");
    write("sys/bus/pci/drivers_probe", "");
    add(kDrive, "0x010802", "nvme", 7);
    write(device(kDrive) + "/nvme/nvme0/model", "Example SSD   \n");
    write(device(kDrive) + "/nvme/nvme0/serial", "S1\n");
    write(device(kDrive) + "/nvme/nvme0/nvme0n1/size", "100\n");
    write("sys/block/nvme0n1/dev", "259:1");
    write("dev/nvme0n1", "");
    add("0000:00:1f.0", "0x060100", "", -1);
  }

  static std::string device(const std::string& name) { return "sys/bus/pci/devices/" + name; }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(folder_ / path).parent_path());
    std::ofstream(folder_ / path) << text;
  }
  std::string read(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(folder_ / path).rdbuf();
    return text.str();
  }
  void add(const std::string& name, const std::string& pci_class, const std::string& driver,
           int group) {
    write(device(name) + "/class", pci_class + "\n");
    write(device(name) + "/vendor", "0x1b36\n");
    write(device(name) + "/device", "0x0010\n");
    write(device(name) + "/numa_node", name == kDrive ? "1\n" : "-1\n");
    write(device(name) + "/driver_override", "(null)\n");
    if (!driver.empty()) {
      write("sys/bus/pci/drivers/" + driver + "/unbind", "");
      fs::create_directory_symlink(folder_ / ("sys/bus/pci/drivers/" + driver),
                                   folder_ / (device(name) + "/driver"));
    }
    if (group >= 0) {
      const std::string at = "sys/kernel/iommu_groups/" + std::to_string(group);
      fs::create_directories(folder_ / (at + "/devices"));
      fs::create_directory_symlink(folder_ / device(name), folder_ / (at + "/devices/" + name));
      fs::create_directory_symlink(folder_ / at, folder_ / (device(name) + "/iommu_group"));
    }
  }
  void open_in_process(const std::string& node) {
    write("proc/77/comm", "fio\n");
    write(node, "");
    fs::create_directories(folder_ / "proc/77/fd");
    fs::remove(folder_ / "proc/77/fd/5");
    fs::create_symlink(folder_ / node, folder_ / "proc/77/fd/5");
  }
  PciDevice find() { return *find_pci_device(*nvme::PciAddress::parse(kDrive), paths_); }
  Error bind_error() {
    const auto bound = bind_to_vfio(*nvme::PciAddress::parse(kDrive), paths_);
    return bound ? Error{} : bound.error();
  }

  static constexpr char kDrive[] = "0000:01:00.0";
  test::TemporaryFolder folder_;
  PciPaths paths_;
};

TEST_F(PciDevicesTest, ListsDrivesOnly) {
  const auto devices = list_pci_devices(paths_);
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].address.to_string(), kDrive);
  EXPECT_EQ(devices[0].vendor_id, "1b36");
  EXPECT_EQ(devices[0].driver, "nvme");
  EXPECT_EQ(devices[0].model, "Example SSD");
  EXPECT_EQ(devices[0].serial, "S1");
  EXPECT_EQ(devices[0].iommu_group, 7);
  EXPECT_EQ(devices[0].numa_node, 1);
  EXPECT_EQ(devices[0].disks, std::vector<std::string>{"nvme0n1"});
  EXPECT_EQ(pci_device_user(devices[0], paths_), "");
}

TEST_F(PciDevicesTest, APathOfMultipathStandsForItsDisk) {
  fs::rename(folder_ / (device(kDrive) + "/nvme/nvme0/nvme0n1"),
             folder_ / (device(kDrive) + "/nvme/nvme0/nvme0c3n1"));
  EXPECT_EQ(find().disks, std::vector<std::string>{"nvme0n1"});
}

TEST_F(PciDevicesTest, WhatIsMountedIsNotTaken) {
  write("proc/self/mountinfo", "30 21 259:1 / /data rw - ext4 /dev/nvme0n1 rw\n");
  const Error error = bind_error();
  EXPECT_EQ(error.code, ErrorCode::kBusy);
  EXPECT_EQ(error.text, "0000:01:00.0 is in use: /dev/nvme0n1 is mounted on /data; unmount it");
  EXPECT_EQ(read(device(kDrive) + "/driver_override"), "(null)\n");
}

TEST_F(PciDevicesTest, WhatAProcessUsesByPassthroughIsNotTaken) {
  fs::create_directories(folder_ / (device(kDrive) + "/nvme/nvme0/ng0n1"));
  open_in_process("dev/ng0n1");
  const Error error = bind_error();
  EXPECT_EQ(error.code, ErrorCode::kBusy);
  EXPECT_EQ(error.text, "0000:01:00.0 is in use: /dev/ng0n1 is open in process 77 (fio); end that");
}

TEST_F(PciDevicesTest, WhatAProcessHasThroughVfioIsNotGivenBack) {
  fs::remove(folder_ / (device(kDrive) + "/driver"));
  fs::create_directory_symlink(folder_ / "sys/bus/pci/drivers/vfio-pci",
                               folder_ / (device(kDrive) + "/driver"));
  const auto unbind = [&] { return unbind_from_vfio(*nvme::PciAddress::parse(kDrive), paths_); };
  for (const char* node : {"dev/vfio/7", "dev/vfio/devices/vfio0"}) {
    fs::create_directories(folder_ / (device(kDrive) + "/vfio-dev/vfio0"));
    open_in_process(node);
    const Status refused = unbind();
    ASSERT_FALSE(refused) << node;
    EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
    EXPECT_NE(refused.error().text.find("process 77 (fio)"), std::string::npos);
    EXPECT_EQ(read("sys/bus/pci/drivers_probe"), "");
  }
  open_in_process("dev/vfio/70");
  write("sys/bus/pci/drivers/vfio-pci/unbind", "");
  EXPECT_TRUE(unbind());
  EXPECT_EQ(read("sys/bus/pci/drivers_probe"), kDrive);
}

TEST_F(PciDevicesTest, WithoutAnIommuItSaysHowToTurnItOn) {
  fs::remove(folder_ / (device(kDrive) + "/iommu_group"));
  const Error error = bind_error();
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_NE(error.text.find("intel_iommu=on"), std::string::npos);
}

TEST_F(PciDevicesTest, ASharedGroupIsNamed) {
  add("0000:02:00.0", "0x020000", "e1000e", 7);
  const Error error = bind_error();
  EXPECT_EQ(error.code, ErrorCode::kBusy);
  EXPECT_NE(error.text.find("0000:02:00.0 (e1000e)"), std::string::npos);
}

TEST_F(PciDevicesTest, ABridgeInTheGroupDoesNoHarm) {
  add("0000:00:01.0", "0x060400", "pcieport", 7);
  EXPECT_TRUE(find().group_others.empty());
}

// A folder is no kernel: nothing changes hands, and all is undone.
TEST_F(PciDevicesTest, WhatVfioDoesNotTakeIsGivenBack) {
  const Error error = bind_error();
  EXPECT_NE(error.text.find("vfio-pci did not take 0000:01:00.0"), std::string::npos);
  EXPECT_EQ(read("sys/bus/pci/drivers/nvme/unbind"), kDrive);
  EXPECT_EQ(read(device(kDrive) + "/driver_override"), "\n");
  EXPECT_EQ(read("sys/bus/pci/drivers_probe"), kDrive);
}

TEST_F(PciDevicesTest, WhatIsNoDriveIsRefused) {
  const auto bridge = find_pci_device(*nvme::PciAddress::parse("0000:00:1f.0"), paths_);
  ASSERT_FALSE(bridge);
  EXPECT_EQ(bridge.error().code, ErrorCode::kInvalidArgument);
  const auto nothing = find_pci_device(*nvme::PciAddress::parse("0000:7f:00.0"), paths_);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kNotFound);
  const Status unbound = unbind_from_vfio(*nvme::PciAddress::parse(kDrive), paths_);
  ASSERT_FALSE(unbound);
  EXPECT_NE(unbound.error().text.find("belongs to the driver nvme"), std::string::npos);
}

}  // namespace
}  // namespace nvublk::service
