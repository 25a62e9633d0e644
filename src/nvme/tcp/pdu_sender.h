#pragma once

// Turns commands and R2Ts into PDUs, and PDUs into the iovecs of one send. It does no I/O: the
// owner sends what build() returns and reports with sent() how much of it has left.
//
// What waits is encoded when a batch is built, so everything that came meanwhile leaves in one
// send. Headers, digests and pads are written into the batch's own memory; data is referenced where
// it is. There is one batch: none is built before the last one is sent in full.
//
//   sent <= built                      positions in the stream of all bytes sent
//   the kernel may read memory of a command that is on a list here, or whose send_end > sent
//
// Shard-affine. No allocation after construction.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <sys/uio.h>

#include "engine/intrusive_list.h"
#include "nvme/tcp/connection_parameters.h"
#include "nvme/tcp/tcp_command.h"

namespace nvublk::nvme::tcp {

class PduSender {
 public:
  PduSender();
  ~PduSender();
  PduSender(const PduSender&) = delete;
  PduSender& operator=(const PduSender&) = delete;

  void start(const ConnectionParameters& parameters) { parameters_ = parameters; }

  /// The capsule of `command`, whose fields are set.
  void queue_capsule(TcpCommand& command);
  /// `command.current` has become an R2T to answer.
  void queue_transfer(TcpCommand& command);

  bool has_work() { return batch_at_ < batch_count_ || has_more(); }
  /// Whether there is something that build() left for later.
  bool has_more() {
    return unfinished_.command != nullptr || !capsules_.empty() || !transfers_.empty();
  }
  /// What to send now: the rest of the last batch, or a new one; empty when there is nothing. Stays
  /// where it is until sent().
  std::span<iovec> build();
  /// The first `bytes` of what build() returned have left.
  void sent(std::size_t bytes);

  /// Whether what was sent ends where no PDU does.
  bool sends_partly() const { return sent_ < built_; }

  bool capsule_waits(const TcpCommand& command) const {
    return IntrusiveList<TcpCommand, CapsuleTag>::contains_anywhere(command);
  }
  /// Whether data of `command` may still be read.
  bool references(const TcpCommand& command) const {
    return capsule_waits(command) ||
           IntrusiveList<TcpCommand, TransferTag>::contains_anywhere(command) ||
           command.send_end > sent_;
  }
  /// Forgets everything; nothing may be in the kernel's hands any more.
  void clear();

 private:
  // Header, header digest and pad of any PDU with data fit in 128 bytes: PDO <= 128.
  static constexpr std::size_t kMaxHeaderBytes = spec::kMaxPduDataOffset;
  static constexpr std::size_t kStagingBytes = 32 * 1024;
  static constexpr std::size_t kMaxSlices = 512;
  // More would make a command that comes meanwhile wait for too long.
  static constexpr std::size_t kBatchBytes = 512 * 1024;

  // A PDU whose data did not fit into the slices of its batch; the next batch begins with the rest.
  struct Unfinished {
    TcpCommand* command = nullptr;
    std::uint32_t left = 0;
    std::uint32_t digest = 0;
  };

  bool has_room() const;
  void encode_capsule(TcpCommand& command);
  void encode_transfer(TcpCommand& command);
  template <typename Pdu>
  void encode(Pdu& pdu, TcpCommand& command, std::uint32_t data_bytes);
  void add_data(TcpCommand& command, std::uint32_t data_bytes, std::uint32_t digest);
  void add_digest(std::uint32_t digest);
  std::byte* add_staged(std::size_t bytes);
  void add_slice(void* data, std::size_t bytes);

  ConnectionParameters parameters_;
  IntrusiveList<TcpCommand, CapsuleTag> capsules_;
  IntrusiveList<TcpCommand, TransferTag> transfers_;
  Unfinished unfinished_;

  std::unique_ptr<std::byte[]> staging_;
  std::size_t staged_ = 0;
  std::array<iovec, kMaxSlices> slices_{};
  std::size_t batch_count_ = 0;  // slices in use
  std::size_t batch_at_ = 0;     // slices sent in full
  std::size_t batch_bytes_ = 0;
  std::uint64_t built_ = 0;
  std::uint64_t sent_ = 0;
};

}  // namespace nvublk::nvme::tcp
