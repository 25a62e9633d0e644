#pragma once

// Frames what a controller sends after ICResp: bytes in, PDU events out. It does no I/O: the owner
// has the kernel receive into receive_slices(), tells received(), and then calls next() until that
// says kNeedMore. It knows what a PDU says about itself, nothing of commands.
//
//   buffer:   0 <= begin <= end <= size          [begin, end) has arrived and is not parsed
//   kHeader:  waits for a header; after kNeedMore, end - begin < 255 + 1 (PDO is a byte)
//   kAccept:  a data PDU's header was reported and accept_data() has not been called
//   kData:    data_left <= DATAL; after kNeedMore, data_left > 0 and begin == end
//   kDigest:  data_left == 0; after kNeedMore, end - begin < 4
//   direct + (size of the buffer slice) = what the kernel may write; direct <= data_left
//
// Shard-affine. No allocation after construction.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <sys/uio.h>

#include "nvme/spec/tcp_pdu.h"
#include "nvme/tcp/connection_parameters.h"
#include "nvme/tcp/crc32c.h"
#include "nvme/tcp/data_cursor.h"
#include "nvme/tcp/pdu_fault.h"

namespace nvublk::nvme::tcp {

class PduReceiver {
 public:
  enum class Event : std::uint8_t {
    kNeedMore,         ///< nothing more to report: receive
    kCapsuleResponse,  ///< see capsule_response()
    kDataBegin,        ///< see c2h_data(); answer with accept_data()
    kDataEnd,          ///< all data is in place; see data_digest_ok()
    kR2t,              ///< see r2t()
    kFault,            ///< see fault(); there will be nothing else
  };

  /// A payload of which this much is missing is received straight into its destination.
  static constexpr std::size_t kDirectBytes = 16 * 1024;
  static constexpr std::size_t kMinBufferBytes = 4096;

  explicit PduReceiver(std::size_t buffer_bytes);
  PduReceiver(const PduReceiver&) = delete;
  PduReceiver& operator=(const PduReceiver&) = delete;

  /// Which digests PDUs carry; before the first byte.
  void start(const ConnectionParameters& parameters);

  Event next();
  spec::CapsuleResp capsule_response() const { return pdu_as<spec::CapsuleResp>(); }
  spec::C2hData c2h_data() const { return pdu_as<spec::C2hData>(); }
  spec::R2t r2t() const { return pdu_as<spec::R2t>(); }
  const PduFault& fault() const { return fault_; }
  /// The header of the PDU that was reported or refused, as far as it has arrived.
  std::span<const std::byte> pdu_header() const { return {pdu_.data(), pdu_length_}; }

  /// Where the data of the PDU goes: at least c2h_data().datal bytes.
  void accept_data(const DataCursor& destination);
  bool data_digest_ok() const { return data_digest_ok_; }
  /// At kDataEnd: where the data after this PDU's goes.
  const DataCursor& destination() const { return destination_; }

  /// Where to receive, at most `buffer_limit_bytes` (at least kMinBufferBytes) of it in the buffer;
  /// valid until received(). Only after kNeedMore.
  std::span<iovec> receive_slices(std::size_t buffer_limit_bytes);
  /// `bytes` have arrived in the slices, front to back.
  void received(std::size_t bytes);

 private:
  enum class Phase : std::uint8_t { kHeader, kAccept, kData, kDigest, kFault };
  static constexpr std::size_t kMaxSlices = 64;

  template <typename Pdu>
  Pdu pdu_as() const;
  std::size_t pending() const { return end_ - begin_; }
  Event next_header();
  Event next_data();
  Event next_digest();
  Event begin_data();
  Event need_more();
  Event fail(PduFaultReason reason, std::uint64_t value = 0, std::uint64_t expected = 0);
  Event check_common_header(const spec::CommonHeader& ch, std::size_t& header_bytes);
  Event check_header_digest(const spec::CommonHeader& ch);
  Event report(const spec::CommonHeader& ch);
  void keep_header(std::size_t bytes);
  void check_invariants() const;

  const std::size_t size_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t offered_ = 0;  // bytes of the buffer in the slices
  std::size_t direct_ = 0;   // bytes of the destination in the slices

  Phase phase_ = Phase::kHeader;
  bool header_digest_ = false;
  bool data_digest_ = false;
  bool data_digest_ok_ = true;
  std::size_t data_left_ = 0;
  DataCursor destination_;
  Crc32c crc_;

  std::array<std::byte, spec::kMaxPduHeaderBytes> pdu_{};
  std::size_t pdu_length_ = 0;
  PduFault fault_;
  std::array<iovec, kMaxSlices> slices_{};
};

}  // namespace nvublk::nvme::tcp
