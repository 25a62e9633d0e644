#pragma once

// The server's end of TLS on a connection's socket: TLS 1.3 by a pre-shared key, nothing else. It
// reads and writes the socket itself, with the results of the system calls. Worker-affine.

#include <cstdint>
#include <span>
#include <vector>

#include <sys/types.h>
#include <sys/uio.h>

#include "target/tls_server.h"

struct bio_method_st;
struct bio_st;
struct ssl_session_st;
struct ssl_st;

namespace nvublk::target {

class TlsSession {
 public:
  /// `fd` stays the caller's, and is non-blocking.
  TlsSession(const TlsServer& server, int fd);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  enum class Progress : std::uint8_t { kAgain, kDone, kFailed };
  /// Goes on with the handshake: again when the socket has something, or has room.
  Progress accept();
  /// Whether the last call could not write all that it had to.
  bool wants_to_write() const;
  /// Whom the host says that it is and wants; valid after kDone.
  const TlsShare& share() const { return share_; }

  /// As readv() and writev(); -1 with EAGAIN when there is nothing yet, or no room. After that the
  /// same bytes come first in the next write().
  ssize_t read(std::span<const iovec> pieces);
  ssize_t write(std::span<const iovec> pieces);
  /// Whether there is data that read() would give without a look at the socket.
  bool pending() const;
  /// Says that no more is sent, if the socket takes that at once.
  void end();

 private:
  static const bio_method_st* bio_method();
  static int bio_read(bio_st* bio, char* to, int size);
  static int bio_write(bio_st* bio, const char* from, int size);
  static int find_session(ssl_st* ssl, const unsigned char* identity, std::size_t length,
                          ssl_session_st** session);
  ssize_t failed(int result);

  const TlsServer& server_;
  const int fd_;
  ssl_st* ssl_;
  TlsShare share_;
  bool broken_ = false;
  std::vector<std::uint8_t> staging_;
};

}  // namespace nvublk::target
