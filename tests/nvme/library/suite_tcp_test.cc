// The suite on nvublk-target in this process, plain and with TLS.

#include <memory>
#include <string>

#include "nvme/library/tcp_target.h"
#include "nvme/suite/library_suite.h"
#include "nvme/transport_factory.h"

namespace nvublk::nvme {
namespace {

using test::LibrarySuite;

class TcpPlace final : public test::SuitePlace {
 public:
  explicit TcpPlace(const std::string& tls_key = {}) : tls_key_(tls_key), target_(tls_key) {}

  std::unique_ptr<Initiator> make_initiator(Shard& shard,
                                            const ControllerOptions& defaults) override {
    ControllerOptions options = defaults;
    if (!tls_key_.empty()) options.tls_key = TlsKey::parse(tls_key_).value();
    return std::make_unique<Initiator>(shard, make_transport, options);
  }
  TransportId id() const override { return target_.id(); }
  std::optional<TransportId> probe_id() const override {
    return target_.id("nqn.2014-08.org.nvmexpress.discovery");
  }
  TransportId nowhere() const override { return TcpTarget::id(target_.id().subnqn, 1); }

 private:
  const std::string tls_key_;
  TcpTarget target_;
};

INSTANTIATE_TEST_SUITE_P(Tcp, LibrarySuite,
                         testing::Values([]() -> std::unique_ptr<test::SuitePlace> {
                           return std::make_unique<TcpPlace>();
                         }));
INSTANTIATE_TEST_SUITE_P(TcpTls, LibrarySuite,
                         testing::Values([]() -> std::unique_ptr<test::SuitePlace> {
                           return std::make_unique<TcpPlace>(
                               "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:");
                         }));

}  // namespace
}  // namespace nvublk::nvme
