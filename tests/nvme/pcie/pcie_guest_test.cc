// The suite on a drive of QEMU's: PCI_ADDRESS, bound to vfio-pci, whose namespace PCI_NSID may be
// overwritten.

#include <cstdlib>
#include <memory>
#include <string>

#include "nvme/suite/library_suite.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme {
namespace {

using test::LibrarySuite;

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  EXPECT_NE(value, nullptr) << name;
  return value != nullptr ? value : otherwise;
}

TransportId id_of(const std::string& address) {
  TransportId id;
  id.trtype = Trtype::kPcie;
  id.traddr = address;
  EXPECT_TRUE(id.complete());
  return id;
}

class QemuPlace final : public test::SuitePlace {
 public:
  QemuPlace() {
    nsid = static_cast<std::uint32_t>(std::stoul(environment("PCI_NSID", "1")));
    formats = true;
  }
  std::unique_ptr<Initiator> make_initiator(Shard& shard,
                                            const ControllerOptions& defaults) override {
    return std::make_unique<Initiator>(shard, make_transport, defaults);
  }
  TransportId id() const override { return id_of(environment("PCI_ADDRESS", "0000:01:00.0")); }
  std::optional<TransportId> probe_id() const override { return std::nullopt; }
  TransportId nowhere() const override { return id_of("0000:7f:00.0"); }
};

INSTANTIATE_TEST_SUITE_P(Qemu, LibrarySuite,
                         testing::Values([]() -> std::unique_ptr<test::SuitePlace> {
                           return std::make_unique<QemuPlace>();
                         }));

}  // namespace
}  // namespace nvublk::nvme
