// The suite on nvublk-target in this process.

#include <memory>

#include "nvme/library/tcp_target.h"
#include "nvme/suite/library_suite.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme {
namespace {

using test::LibrarySuite;

class TcpPlace final : public test::SuitePlace {
 public:
  std::unique_ptr<Initiator> make_initiator(Shard& shard,
                                            const ControllerOptions& defaults) override {
    return std::make_unique<Initiator>(shard, make_transport, defaults);
  }
  TransportId id() const override { return target_.id(); }
  std::optional<TransportId> probe_id() const override {
    return target_.id("nqn.2014-08.org.nvmexpress.discovery");
  }
  TransportId nowhere() const override { return TcpTarget::id(target_.id().subnqn, 1); }

 private:
  TcpTarget target_;
};

INSTANTIATE_TEST_SUITE_P(Tcp, LibrarySuite,
                         testing::Values([]() -> std::unique_ptr<test::SuitePlace> {
                           return std::make_unique<TcpPlace>();
                         }));

}  // namespace
}  // namespace nvublk::nvme
