#include "target/tls_session.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "engine/check.h"

namespace nvublk::target {

namespace {

/// The most data of a record. [RFC 8446 §5.1]
constexpr std::size_t kRecordBytes = 16 * 1024;

}  // namespace

TlsSession::TlsSession(const TlsServer& server, int fd)
    : server_(server), fd_(fd), ssl_(SSL_new(server.get())), staging_(kRecordBytes) {
  BIO* bio = BIO_new(bio_method());
  CHECK(ssl_ != nullptr && bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
  SSL_set_psk_find_session_callback(ssl_, find_session);
  SSL_set_accept_state(ssl_);
}

TlsSession::~TlsSession() {
  SSL_free(ssl_);
}

// OpenSSL's own sockets would raise SIGPIPE.
const BIO_METHOD* TlsSession::bio_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "target");
    CHECK(made != nullptr && BIO_meth_set_read(made, bio_read) == 1 &&
          BIO_meth_set_write(made, bio_write) == 1 &&
          BIO_meth_set_ctrl(made, [](BIO*, int command, long, void*) -> long {
            return command == BIO_CTRL_FLUSH ? 1 : 0;
          }) == 1);
    return made;
  }();
  return method;
}

int TlsSession::bio_read(BIO* bio, char* to, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t got =
      recv(static_cast<TlsSession*>(BIO_get_data(bio))->fd_, to, static_cast<std::size_t>(size), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

int TlsSession::bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = send(static_cast<TlsSession*>(BIO_get_data(bio))->fd_, from,
                            static_cast<std::size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

// Without a session the handshake ends: there are no certificates.
int TlsSession::find_session(SSL* ssl, const unsigned char* identity, std::size_t length,
                             SSL_SESSION** session) {
  auto& self = *static_cast<TlsSession*>(SSL_get_app_data(ssl));
  *session = nullptr;
  auto share = self.server_.share({reinterpret_cast<const char*>(identity), length});
  if (!share) return 1;
  constexpr unsigned char kAes128[] = {0x13, 0x01};
  constexpr unsigned char kAes256[] = {0x13, 0x02};
  SSL_SESSION* made = SSL_SESSION_new();
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, share->psk.size() == 48 ? kAes256 : kAes128);
  if (made == nullptr || cipher == nullptr ||
      SSL_SESSION_set1_master_key(made, share->psk.data(), share->psk.size()) != 1 ||
      SSL_SESSION_set_cipher(made, cipher) != 1 ||
      SSL_SESSION_set_protocol_version(made, TLS1_3_VERSION) != 1) {
    SSL_SESSION_free(made);
    return 0;
  }
  *session = made;
  self.share_ = std::move(*share);
  return 1;
}

TlsSession::Progress TlsSession::accept() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) return Progress::kDone;
  failed(result);
  return broken_ ? Progress::kFailed : Progress::kAgain;
}

bool TlsSession::wants_to_write() const {
  return SSL_want_write(ssl_) == 1;
}

// What a system call would return and leave in errno.
ssize_t TlsSession::failed(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    default:
      broken_ = true;
      ERR_clear_error();
      errno = EPROTO;
      return -1;
  }
}

ssize_t TlsSession::read(std::span<const iovec> pieces) {
  ssize_t total = 0;
  for (const iovec& piece : pieces) {
    auto* to = static_cast<std::uint8_t*>(piece.iov_base);
    std::size_t left = piece.iov_len;
    while (left > 0) {
      ERR_clear_error();
      std::size_t done = 0;
      if (const int result = SSL_read_ex(ssl_, to, left, &done); result != 1) {
        const ssize_t end = failed(result);
        return total > 0 ? total : end;
      }
      to += done;
      left -= done;
      total += static_cast<ssize_t>(done);
    }
  }
  return total;
}

ssize_t TlsSession::write(std::span<const iovec> pieces) {
  std::size_t staged = 0;
  for (const iovec& piece : pieces) {
    const std::size_t step = std::min(piece.iov_len, kRecordBytes - staged);
    std::memcpy(staging_.data() + staged, piece.iov_base, step);
    staged += step;
  }
  ERR_clear_error();
  std::size_t done = 0;
  const int result = SSL_write_ex(ssl_, staging_.data(), staged, &done);
  return result == 1 ? static_cast<ssize_t>(done) : failed(result);
}

bool TlsSession::pending() const {
  return SSL_pending(ssl_) > 0;
}

void TlsSession::end() {
  if (!broken_ && SSL_is_init_finished(ssl_) == 1) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
}

}  // namespace nvublk::target
