#pragma once

// Simulated controllers for tests of the library, at PCI addresses that a sysfs of our own has.

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "nvme/initiator.h"
#include "sim/simulated_controller.h"

namespace nvublk::nvme::pcie {

class SimulatedDrives final : private Poller {
 public:
  /// Each turn of `shard`, which outlives this, is a step of each drive.
  explicit SimulatedDrives(Shard& shard);
  /// Expects that the initiator has left nothing behind and broken no rule.
  ~SimulatedDrives();
  SimulatedDrives(const SimulatedDrives&) = delete;
  SimulatedDrives& operator=(const SimulatedDrives&) = delete;

  std::unique_ptr<Initiator> make_initiator(const ControllerOptions& defaults);
  /// For initiators that have other transports, too.
  Result<std::unique_ptr<Transport>> make_transport(const TransportOptions& transport);
  /// A function at `address`, bound to `driver`; a drive is behind those of vfio-pci.
  void plug(const std::string& address, const sim::SimulatedController::Options& options,
            const std::string& driver = "vfio-pci", const std::string& pci_class = "0x010802");
  /// The function is gone from the bus; its drive stays, for what still has it open.
  void unplug(const std::string& address, const std::string& driver = "vfio-pci");
  sim::SimulatedController& at(const std::string& address) { return *drives_.at(address); }

  /// How often a drive was opened.
  unsigned opens() const { return opens_; }

  static TransportId id_of(const std::string& address);

 private:
  unsigned poll() override;
  bool arm() override { return true; }

  Shard& shard_;
  std::filesystem::path sysfs_;
  std::atomic<unsigned> opens_{0};
  std::map<std::string, std::shared_ptr<sim::SimulatedController>> drives_;
};

}  // namespace nvublk::nvme::pcie
