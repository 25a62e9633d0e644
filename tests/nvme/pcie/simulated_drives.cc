#include "nvme/pcie/simulated_drives.h"

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "nvme/pcie/pcie_transport.h"

namespace nvublk::nvme::pcie {

SimulatedDrives::SimulatedDrives(Shard& shard) : shard_(shard) {
  shard_.reactor().add_poller(*this);
  std::string name = std::filesystem::temp_directory_path() / "nvublk-sysfs.XXXXXX";
  EXPECT_NE(::mkdtemp(name.data()), nullptr);
  sysfs_ = name;
}

SimulatedDrives::~SimulatedDrives() {
  for (int i = 0; i < 5; i++) shard_.reactor().turn(false);
  for (auto& [address, drive] : drives_) {
    EXPECT_TRUE(drive->violations().empty()) << drive->violations().front();
    EXPECT_EQ(drive->mapping_count(), 0u);
    EXPECT_EQ(drive->reservation_count(), 0u);
    EXPECT_EQ(drive->io_queue_count(), 0u);
    EXPECT_EQ(drive.use_count(), 1);
  }
  shard_.reactor().remove_poller(*this);
  std::filesystem::remove_all(sysfs_);
}

Result<std::unique_ptr<Transport>> SimulatedDrives::make_transport(
    const TransportOptions& transport) {
  const auto open = [this, address = transport.id.traddr]() -> Result<std::shared_ptr<PcieDevice>> {
    const auto found = drives_.find(address);
    if (found == drives_.end()) {
      return fail(ErrorCode::kNotFound, "there is nothing at " + address);
    }
    opens_++;
    return found->second;
  };
  return std::make_unique<PcieTransport>(open, PciIds{}, transport.controller_memory);
}

std::unique_ptr<Initiator> SimulatedDrives::make_initiator(const ControllerOptions& defaults) {
  const auto make = [this](const TransportOptions& transport) { return make_transport(transport); };
  return std::make_unique<Initiator>(shard_, make, defaults, sysfs_.string());
}

void SimulatedDrives::plug(const std::string& address,
                           const sim::SimulatedController::Options& options,
                           const std::string& driver, const std::string& pci_class) {
  const auto folder = sysfs_ / "bus/pci/drivers" / driver / address;
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "class") << pci_class << "\n";
  std::filesystem::create_directories(sysfs_ / "bus/pci/devices" / address);
  drives_[address] = std::make_shared<sim::SimulatedController>(options);
}

void SimulatedDrives::unplug(const std::string& address, const std::string& driver) {
  std::filesystem::remove_all(sysfs_ / "bus/pci/drivers" / driver / address);
  std::filesystem::remove_all(sysfs_ / "bus/pci/devices" / address);
}

TransportId SimulatedDrives::id_of(const std::string& address) {
  TransportId id;
  id.trtype = Trtype::kPcie;
  id.traddr = address;
  EXPECT_TRUE(id.complete());
  return id;
}

unsigned SimulatedDrives::poll() {
  unsigned commands = 0;
  for (auto& [address, drive] : drives_) commands += drive->step();
  return commands;
}

}  // namespace nvublk::nvme::pcie
