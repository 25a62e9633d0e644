#pragma once

// What all TLS connections of a target have in common: TLS 1.3, its key, no certificates, no
// resumption. [TCP 1.1 §3.6.1] Thread-safe.

#include <optional>
#include <string>
#include <string_view>

#include "target/tls_key.h"

struct ssl_ctx_st;

namespace nvublk::target {

class TlsServer {
 public:
  TlsServer(const TlsKey& key, std::string subnqn);
  ~TlsServer();
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  ssl_ctx_st* get() const { return context_; }
  /// As TlsKey::share(), for this subsystem or the discovery subsystem only.
  std::optional<TlsShare> share(std::string_view identity) const;
  const char* cipher() const { return key_.cipher(); }

 private:
  TlsKey key_;
  std::string subnqn_;
  ssl_ctx_st* context_;
};

}  // namespace nvublk::target
