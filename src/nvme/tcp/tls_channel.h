#pragma once

// The client's end of a TLS connection, on OpenSSL and without a socket: the owner has the kernel
// receive into receive_space() and send output(). Records are made and opened in memory that was
// made with the channel; OpenSSL allocates as it likes, with malloc.
//
//   input:   0 <= in_begin <= in_end      [begin, end) has arrived and is not opened; none of it is
//                                         left when decrypt() has returned less than there was room
//                                         for, some may be when the handshake is over
//   output:  0 <= out_begin <= out_end    [begin, end) is to be sent; a send in flight is in there,
//                                         so that more is only ever added behind it
//
// Shard-affine.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <sys/uio.h>

#include "nvme/tcp/tls_context.h"

struct bio_method_st;
struct bio_st;
struct evp_md_st;
struct ssl_session_st;
struct ssl_st;

namespace nvublk::nvme::tcp {

class TlsChannel {
 public:
  enum class State : std::uint8_t {
    kHandshake,
    kOpen,
    kClosed,  ///< the peer has said that it sends no more
    kFailed,  ///< see fault()
  };
  enum class Fault : std::uint8_t {
    kNone,
    kAlert,   ///< the peer gave it up: see alert()
    kNotTls,  ///< the peer does not speak TLS: see first_bytes()
    kNoKey,   ///< the peer went on without the key, with a certificate
    kOther,   ///< we gave it up: see reason()
  };

  /// The most data of a record. [RFC 8446 §5.1]
  static constexpr std::size_t kRecordBytes = 16 * 1024;

  /// `buffer_bytes`: how much is received, and sent, at a time; at least kRecordBytes.
  TlsChannel(const TlsContext& context, std::size_t buffer_bytes);
  ~TlsChannel();
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;

  State state() const { return state_; }
  Fault fault() const { return fault_; }
  /// Of an alert, its number. [RFC 8446 §6]
  std::uint8_t alert() const { return alert_; }
  /// What went wrong, for people: the alert, or OpenSSL's reason.
  const std::string& reason() const { return reason_; }
  /// What the peer said first.
  std::span<const std::byte> first_bytes() const {
    return std::span(first_bytes_).first(first_count_);
  }
  const TlsPsk& psk() const { return psk_; }

  /// Goes on with the handshake, as far as what was received leads.
  void advance();

  /// Where to receive; valid until received().
  iovec receive_space();
  /// `bytes` have arrived there. Then advance() or decrypt().
  void received(std::size_t bytes);
  /// Opens what was received into `pieces`, front to back, and returns how many bytes of data that
  /// is. Less than there is room for: all is opened, and state() says whether more can come.
  std::size_t decrypt(std::span<const iovec> pieces);

  /// Adds records with the data of `pieces` to output(), as much as there is room for; returns how
  /// much that is. Only while output() is empty.
  std::size_t encrypt(std::span<const iovec> pieces);
  /// Says to the peer that no more is sent, if it can be told.
  void end();
  /// What is to be sent; stays where it is until sent().
  iovec output() { return {output_.get() + out_begin_, out_end_ - out_begin_}; }
  bool has_output() const { return out_begin_ < out_end_; }
  /// The first `bytes` of output() have left.
  void sent(std::size_t bytes);

 private:
  // A record's header, type and tag, and a key update that may go before it.
  static constexpr std::size_t kRecordOverhead = 64;
  static constexpr std::size_t sealed_bytes(std::size_t data_bytes) {
    return data_bytes + (data_bytes / kRecordBytes + 1) * kRecordOverhead;
  }

  static const bio_method_st* bio_method();
  static int bio_read(bio_st* bio, char* to, std::size_t size, std::size_t* done);
  static int bio_write(bio_st* bio, const char* from, std::size_t size, std::size_t* done);
  static long bio_control(bio_st* bio, int command, long number, void* pointer);
  static int use_key(ssl_st* ssl, const evp_md_st* digest, const unsigned char** id,
                     std::size_t* id_length, ssl_session_st** session);
  static void informed(const ssl_st* ssl, int where, int value);

  ssl_session_st* make_session();
  void note(int result);
  void fail(Fault fault, std::string reason);
  bool write_record(const void* data, std::size_t bytes);

  const TlsPsk psk_;
  const std::size_t size_;
  std::unique_ptr<std::byte[]> input_;
  std::unique_ptr<std::byte[]> output_;
  std::unique_ptr<std::byte[]> staging_;  // of a record whose data is in pieces
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;
  std::size_t out_begin_ = 0;
  std::size_t out_end_ = 0;
  ssl_st* ssl_ = nullptr;

  State state_ = State::kHandshake;
  Fault fault_ = Fault::kNone;
  std::uint8_t alert_ = 0;
  std::uint8_t own_alert_ = 0;
  std::string reason_;
  std::array<std::byte, 8> first_bytes_{};
  std::size_t first_count_ = 0;
};

}  // namespace nvublk::nvme::tcp
