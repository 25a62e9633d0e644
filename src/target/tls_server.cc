#include "target/tls_server.h"

#include <utility>

#include <openssl/ssl.h>

#include "engine/check.h"
#include "nvme/spec/fabrics.h"

namespace nvublk::target {

TlsServer::TlsServer(const TlsKey& key, std::string subnqn)
    : key_(key), subnqn_(std::move(subnqn)), context_(SSL_CTX_new(TLS_server_method())) {
  CHECK(context_ != nullptr && SSL_CTX_set_min_proto_version(context_, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_ciphersuites(context_, key_.cipher()) == 1);
  SSL_CTX_set_num_tickets(context_, 0);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context_, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

TlsServer::~TlsServer() {
  SSL_CTX_free(context_);
}

std::optional<TlsShare> TlsServer::share(std::string_view identity) const {
  auto share = key_.share(identity);
  if (share && share->subnqn != subnqn_ && share->subnqn != nvme::spec::kDiscoveryNqn) {
    share.reset();
  }
  return share;
}

}  // namespace nvublk::target
