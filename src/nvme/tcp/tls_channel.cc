#include "nvme/tcp/tls_channel.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "engine/check.h"

namespace nvublk::nvme::tcp {

namespace {

// Records begin with their type and the major version. [RFC 8446 §5.1]
bool looks_like_tls(std::span<const std::byte> bytes) {
  const auto type = std::to_integer<unsigned>(bytes[0]);
  return type >= SSL3_RT_CHANGE_CIPHER_SPEC && type <= SSL3_RT_APPLICATION_DATA &&
         (bytes.size() < 2 || std::to_integer<unsigned>(bytes[1]) == SSL3_VERSION_MAJOR);
}

TlsChannel& owner_of(BIO* bio) {
  return *static_cast<TlsChannel*>(BIO_get_data(bio));
}

TlsChannel& owner_of(const SSL* ssl) {
  return *static_cast<TlsChannel*>(SSL_get_app_data(ssl));
}

}  // namespace

// Buffers are written to, so that they are in memory before the first I/O.
TlsChannel::TlsChannel(const TlsContext& context, std::size_t buffer_bytes)
    : psk_(context.psk()),
      size_(buffer_bytes),
      input_(std::make_unique<std::byte[]>(buffer_bytes)),
      output_(std::make_unique<std::byte[]>(sealed_bytes(buffer_bytes))),
      staging_(std::make_unique<std::byte[]>(kRecordBytes)),
      ssl_(SSL_new(context.get())) {
  CHECK(buffer_bytes >= kRecordBytes);
  BIO* bio = BIO_new(bio_method());
  CHECK(ssl_ != nullptr && bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
  SSL_set_psk_use_session_callback(ssl_, use_key);
  SSL_set_info_callback(ssl_, informed);
  SSL_set_connect_state(ssl_);
}

TlsChannel::~TlsChannel() {
  SSL_free(ssl_);
}

// --- What OpenSSL asks for

const BIO_METHOD* TlsChannel::bio_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nvublk");
    CHECK(made != nullptr && BIO_meth_set_read_ex(made, bio_read) == 1 &&
          BIO_meth_set_write_ex(made, bio_write) == 1 && BIO_meth_set_ctrl(made, bio_control) == 1);
    return made;
  }();
  return method;
}

int TlsChannel::bio_read(BIO* bio, char* to, std::size_t size, std::size_t* done) {
  TlsChannel& self = owner_of(bio);
  BIO_clear_retry_flags(bio);
  *done = std::min(size, self.in_end_ - self.in_begin_);
  if (*done == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(to, self.input_.get() + self.in_begin_, *done);
  self.in_begin_ += *done;
  return 1;
}

int TlsChannel::bio_write(BIO* bio, const char* from, std::size_t size, std::size_t* done) {
  TlsChannel& self = owner_of(bio);
  BIO_clear_retry_flags(bio);
  *done = size;
  if (size >
      sealed_bytes(self.size_) - self.out_end_) {  // an alert behind a send that fills the buffer
    *done = 0;
    BIO_set_retry_write(bio);
    return 0;
  }
  std::memcpy(self.output_.get() + self.out_end_, from, size);
  self.out_end_ += size;
  return 1;
}

long TlsChannel::bio_control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

// [RFC 8446 §4.2.11] The session of a connection that never was: its suite, and its secret.
SSL_SESSION* TlsChannel::make_session() {
  constexpr unsigned char kAes128[] = {0x13, 0x01};
  constexpr unsigned char kAes256[] = {0x13, 0x02};
  const SSL_CIPHER* cipher =
      SSL_CIPHER_find(ssl_, psk_.hash() == spec::TlsHash::kSha256 ? kAes128 : kAes256);
  SSL_SESSION* session = SSL_SESSION_new();
  const auto secret = psk_.secret();
  if (cipher == nullptr || session == nullptr ||
      SSL_SESSION_set1_master_key(session, reinterpret_cast<const unsigned char*>(secret.data()),
                                  secret.size()) != 1 ||
      SSL_SESSION_set_cipher(session, cipher) != 1 ||
      SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1) {
    SSL_SESSION_free(session);
    return nullptr;
  }
  return session;
}

int TlsChannel::use_key(SSL* ssl, const EVP_MD* digest, const unsigned char** id,
                        std::size_t* id_length, SSL_SESSION** session) {
  TlsChannel& self = owner_of(ssl);
  *session = nullptr;
  // After a HelloRetryRequest, the hash that the peer has chosen; it is ours, or no key fits.
  if (digest != nullptr &&
      static_cast<std::size_t>(EVP_MD_get_size(digest)) != tls_hash_bytes(self.psk_.hash())) {
    return 1;
  }
  *session = self.make_session();
  *id = reinterpret_cast<const unsigned char*>(self.psk_.identity().data());
  *id_length = self.psk_.identity().size();
  return *session != nullptr ? 1 : 0;
}

void TlsChannel::informed(const SSL* ssl, int where, int value) {
  if ((where & SSL_CB_ALERT) == 0) {
    return;
  }
  TlsChannel& self = owner_of(ssl);
  const auto number = static_cast<std::uint8_t>(value & 0xff);
  ((where & SSL_CB_READ) != 0 ? self.alert_ : self.own_alert_) = number;
}

// --- What becomes of it

void TlsChannel::fail(Fault fault, std::string reason) {
  state_ = State::kFailed;
  fault_ = fault;
  reason_ = std::move(reason);
}

// `result`: what a call of OpenSSL returned that did not do all that was wanted.
void TlsChannel::note(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return;
    case SSL_ERROR_ZERO_RETURN:
      state_ = State::kClosed;
      return;
    default:
      break;
  }
  const unsigned long error = ERR_peek_error();
  ERR_clear_error();
  if (alert_ != 0) {
    fail(Fault::kAlert, SSL_alert_desc_string_long(alert_));
  } else if (first_count_ > 0 && !looks_like_tls(first_bytes())) {
    fail(Fault::kNotTls, "no TLS");
  } else if (own_alert_ == SSL_AD_UNKNOWN_CA || own_alert_ == SSL_AD_BAD_CERTIFICATE) {
    fail(Fault::kNoKey, "it shows a certificate");
  } else {
    const char* reason = ERR_reason_error_string(error);
    fail(Fault::kOther, reason != nullptr ? reason : "unknown");
  }
}

void TlsChannel::advance() {
  CHECK(state_ == State::kHandshake);
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result != 1) {
    note(result);
    return;
  }
  if (SSL_session_reused(ssl_) != 1) {
    fail(Fault::kNoKey, "it went on without the key");
    return;
  }
  state_ = State::kOpen;
}

iovec TlsChannel::receive_space() {
  std::memmove(input_.get(), input_.get() + in_begin_, in_end_ - in_begin_);
  in_end_ -= in_begin_;
  in_begin_ = 0;
  return {input_.get() + in_end_, size_ - in_end_};
}

void TlsChannel::received(std::size_t bytes) {
  CHECK(in_begin_ == 0 && bytes <= size_ - in_end_);
  const std::size_t first = std::min(bytes, first_bytes_.size() - first_count_);
  std::copy_n(input_.get() + in_end_, first,
              first_bytes_.begin() + static_cast<std::ptrdiff_t>(first_count_));
  first_count_ += first;
  in_end_ += bytes;
}

std::size_t TlsChannel::decrypt(std::span<const iovec> pieces) {
  std::size_t total = 0;
  for (const iovec& piece : pieces) {
    auto* to = static_cast<std::byte*>(piece.iov_base);
    std::size_t left = piece.iov_len;
    while (left > 0) {
      if (state_ != State::kOpen) {
        return total;
      }
      ERR_clear_error();
      std::size_t done = 0;
      if (const int result = SSL_read_ex(ssl_, to, left, &done); result != 1) {
        note(result);
        return total;
      }
      to += done;
      left -= done;
      total += done;
    }
  }
  return total;
}

bool TlsChannel::write_record(const void* data, std::size_t bytes) {
  ERR_clear_error();
  std::size_t done = 0;
  if (const int result = SSL_write_ex(ssl_, data, bytes, &done); result != 1) {
    note(result);
    return false;
  }
  return true;
}

// As few records as there can be: what is in small pieces is gathered first.
std::size_t TlsChannel::encrypt(std::span<const iovec> pieces) {
  CHECK(!has_output());
  std::size_t total = 0;
  std::size_t staged = 0;
  const auto flush = [&] {
    const std::size_t bytes = std::exchange(staged, 0);
    total += bytes;
    return bytes == 0 || write_record(staging_.get(), bytes);
  };
  for (const iovec& piece : pieces) {
    const auto* from = static_cast<const std::byte*>(piece.iov_base);
    std::size_t left = piece.iov_len;
    while (left > 0) {
      if (state_ != State::kOpen || total + kRecordBytes > size_) {
        return total;
      }
      const std::size_t step = std::min(left, kRecordBytes - staged);
      if (step == kRecordBytes) {
        total += step;
        if (!write_record(from, step)) {
          return total;
        }
      } else {
        std::memcpy(staging_.get() + staged, from, step);
        staged += step;
        if (staged == kRecordBytes && !flush()) {
          return total;
        }
      }
      from += step;
      left -= step;
    }
  }
  flush();
  return total;
}

void TlsChannel::end() {
  if (state_ == State::kOpen || state_ == State::kClosed) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
}

void TlsChannel::sent(std::size_t bytes) {
  CHECK(bytes <= out_end_ - out_begin_);
  out_begin_ += bytes;
  if (out_begin_ == out_end_) {
    out_begin_ = out_end_ = 0;
  }
}

}  // namespace nvublk::nvme::tcp
