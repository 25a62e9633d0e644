#pragma once

// What the TLS connections of one transport have in common: OpenSSL's settings, and the pre-shared
// key. TLS 1.3 only, one cipher suite, a key exchange with each connection, no certificates, no
// resumption. [TCP 1.1 §3.6.1] Shared by shards, which only read it.

#include <memory>

#include "engine/error.h"
#include "nvme/tls_key.h"

struct ssl_ctx_st;

namespace nvublk::nvme::tcp {

class TlsContext {
 public:
  static Result<std::unique_ptr<TlsContext>> make(const TlsPsk& psk);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  const TlsPsk& psk() const { return psk_; }
  ssl_ctx_st* get() const { return context_; }

 private:
  explicit TlsContext(const TlsPsk& psk) : psk_(psk) {}

  TlsPsk psk_;
  ssl_ctx_st* context_ = nullptr;
};

}  // namespace nvublk::nvme::tcp
