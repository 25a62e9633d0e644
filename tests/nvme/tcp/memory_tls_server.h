#pragma once

// A TLS server in memory, by OpenSSL's own memory BIOs: what a TlsChannel sends goes in, what it is
// to receive comes out.

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "nvme/tcp/controller_pdus.h"
#include "nvme/tls_key.h"

namespace nvublk::nvme::tcp {

inline TlsPsk psk_of(spec::TlsHash hash = spec::TlsHash::kSha256, unsigned char fill = 1,
                     unsigned version = 0) {
  const Bytes secret(tls_hash_bytes(hash), static_cast<std::byte>(fill));
  return TlsKey::make(secret, hash)
      ->psk("nqn.2026-01.io.nvublk:host", "nqn.2026-01.io.nvublk:disk", version)
      .value();
}

class MemoryTlsServer {
 public:
  struct Options {
    TlsPsk psk;
    int version = TLS1_3_VERSION;  ///< the highest
    bool certificate = false;      ///< instead of the key
    int tickets = 0;               ///< after the handshake
  };

  explicit MemoryTlsServer(Options options)
      : options_(std::move(options)), context_(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX_set_max_proto_version(context_, options_.version);
    SSL_CTX_set_num_tickets(context_, static_cast<std::size_t>(options_.tickets));
    if (options_.certificate) make_certificate();
    ssl_ = SSL_new(context_);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_app_data(ssl_, this);
    if (!options_.certificate) SSL_set_psk_find_session_callback(ssl_, find);
    SSL_set_accept_state(ssl_);
  }
  ~MemoryTlsServer() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  MemoryTlsServer(const MemoryTlsServer&) = delete;
  MemoryTlsServer& operator=(const MemoryTlsServer&) = delete;

  void feed(std::span<const std::byte> bytes) {
    ASSERT_EQ(BIO_write(in_, bytes.data(), static_cast<int>(bytes.size())),
              static_cast<int>(bytes.size()));
  }
  /// What it has to send.
  Bytes take() {
    Bytes bytes(BIO_ctrl_pending(out_));
    if (!bytes.empty()) BIO_read(out_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  /// Whether the handshake is over.
  bool accept() {
    ERR_clear_error();
    return SSL_do_handshake(ssl_) == 1;
  }
  void write(std::span<const std::byte> data) {
    std::size_t done = 0;
    ASSERT_EQ(SSL_write_ex(ssl_, data.data(), data.size(), &done), 1);
  }
  /// All data that has arrived.
  Bytes read() {
    Bytes all;
    std::array<std::byte, 4096> part;
    std::size_t done = 0;
    ERR_clear_error();
    while ((last_ = SSL_read_ex(ssl_, part.data(), part.size(), &done)) == 1) {
      all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(done));
    }
    return all;
  }
  /// Why read() ended: SSL_ERROR_WANT_READ, SSL_ERROR_ZERO_RETURN, SSL_ERROR_SSL.
  int read_end() const { return SSL_get_error(ssl_, last_); }
  void close() { SSL_shutdown(ssl_); }
  /// New keys; the client has to answer with new ones of its own if `requested`.
  void update_keys(bool requested) {
    ASSERT_EQ(
        SSL_key_update(ssl_, requested ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
        1);
    ASSERT_EQ(SSL_do_handshake(ssl_), 1);
  }
  std::string cipher() const { return SSL_get_cipher_name(ssl_); }
  const std::string& identity() const { return identity_; }

 private:
  static int find(SSL* ssl, const unsigned char* identity, std::size_t length,
                  SSL_SESSION** session) {
    auto& self = *static_cast<MemoryTlsServer*>(SSL_get_app_data(ssl));
    self.identity_.assign(reinterpret_cast<const char*>(identity), length);
    *session = nullptr;
    const TlsPsk& psk = self.options_.psk;
    if (psk.empty() || self.identity_ != psk.identity()) return 1;
    constexpr unsigned char kSuites[2][2] = {{0x13, 0x01}, {0x13, 0x02}};
    const SSL_CIPHER* cipher =
        SSL_CIPHER_find(ssl, kSuites[psk.hash() == spec::TlsHash::kSha384 ? 1 : 0]);
    *session = SSL_SESSION_new();
    SSL_SESSION_set1_master_key(
        *session, reinterpret_cast<const unsigned char*>(psk.secret().data()), psk.secret().size());
    SSL_SESSION_set_cipher(*session, cipher);
    SSL_SESSION_set_protocol_version(*session, TLS1_3_VERSION);
    return 1;
  }

  void make_certificate() {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    EXPECT_EQ(SSL_CTX_use_certificate(context_, certificate), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(context_, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }

  const Options options_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  int last_ = 1;
  std::string identity_;
};

}  // namespace nvublk::nvme::tcp
