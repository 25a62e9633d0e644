#include "nvme/tcp/tls_context.h"

#include <array>
#include <string>

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace nvublk::nvme::tcp {

Result<std::unique_ptr<TlsContext>> TlsContext::make(const TlsPsk& psk) {
  std::unique_ptr<TlsContext> made(new TlsContext(psk));
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  made->context_ = context;
  const std::string suite(tls_cipher_name(psk.hash()));
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context, suite.c_str()) != 1) {
    std::array<char, 160> text{};
    ERR_error_string_n(ERR_get_error(), text.data(), text.size());
    ERR_clear_error();
    return fail(ErrorCode::kSystem,
                std::string("OpenSSL cannot be set up for TLS 1.3: ") + text.data());
  }
  // Nobody is trusted by a certificate: who shows one instead of knowing the key is refused.
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return made;
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

}  // namespace nvublk::nvme::tcp
