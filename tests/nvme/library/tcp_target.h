#pragma once

// nvublk-target in this process, with one namespace of 16 MiB, and how to reach it.

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "nvme/transport_id.h"
#include "target/target.h"

namespace nvublk::nvme {

class TcpTarget {
 public:
  /// `tls_key`: by which hosts have to use TLS; empty: plain.
  explicit TcpTarget(const std::string& tls_key = {}) {
    target::Options options;
    if (!tls_key.empty()) options.tls_key = target::TlsKey::parse(tls_key).value();
    options.listen = {{"127.0.0.1", 0}};
    target::NamespaceOptions ns;
    ns.size_bytes = 16 << 20;
    options.namespaces = {ns};
    target_ = std::make_unique<target::Target>(options);
    const Status started = target_->start();
    EXPECT_TRUE(started) << started.error().text;
  }
  void stop() { target_.reset(); }
  target::Target* operator->() { return target_.get(); }
  TransportId id() const { return id(target_->options().subnqn, target_->port()); }
  TransportId id(const std::string& subnqn) const { return id(subnqn, target_->port()); }
  static TransportId id(const std::string& subnqn, unsigned port) {
    TransportId id;
    id.traddr = "127.0.0.1";
    id.trsvcid = std::to_string(port);
    id.subnqn = subnqn;
    EXPECT_TRUE(id.complete());
    return id;
  }

 private:
  std::unique_ptr<target::Target> target_;
};

}  // namespace nvublk::nvme
