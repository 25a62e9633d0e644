// The suite on nvublk-target in this process.

#include <memory>
#include <string>

#include "nvme/suite/library_suite.h"
#include "nvme/transport_factory.h"
#include "target/target.h"

namespace nvublk::nvme {
namespace {

using test::LibrarySuite;

class TcpPlace final : public test::SuitePlace {
 public:
  TcpPlace() {
    target::Options options;
    options.listen = {{"127.0.0.1", 0}};
    target::NamespaceOptions ns;
    ns.size_bytes = 16 << 20;
    options.namespaces = {ns};
    target_ = std::make_unique<target::Target>(options);
    const Status started = target_->start();
    EXPECT_TRUE(started) << started.error().text;
  }
  std::unique_ptr<Initiator> make_initiator(Shard& shard,
                                            const ControllerOptions& defaults) override {
    return std::make_unique<Initiator>(shard, make_transport, defaults);
  }
  TransportId id() const override { return id_of(target_->options().subnqn, target_->port()); }
  std::optional<TransportId> probe_id() const override {
    return id_of("nqn.2014-08.org.nvmexpress.discovery", target_->port());
  }
  TransportId nowhere() const override { return id_of(target_->options().subnqn, 1); }

 private:
  static TransportId id_of(const std::string& subnqn, unsigned port) {
    TransportId id;
    id.traddr = "127.0.0.1";
    id.trsvcid = std::to_string(port);
    id.subnqn = subnqn;
    EXPECT_TRUE(id.complete());
    return id;
  }

  std::unique_ptr<target::Target> target_;
};

INSTANTIATE_TEST_SUITE_P(Tcp, LibrarySuite,
                         testing::Values([]() -> std::unique_ptr<test::SuitePlace> {
                           return std::make_unique<TcpPlace>();
                         }));

}  // namespace
}  // namespace nvublk::nvme
