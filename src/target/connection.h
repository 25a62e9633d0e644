#pragma once

// One NVMe/TCP connection: the socket, TLS where the target demands it, the PDUs, and the queue
// they carry. Worker-affine, but for what QueueOwner has.

#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nvme/spec/tcp_pdu.h"
#include "target/crc32c.h"
#include "target/output_queue.h"
#include "target/pdu_rules.h"
#include "target/pdu_writer.h"
#include "target/queue.h"
#include "target/queue_owner.h"
#include "target/tls_session.h"
#include "target/transfers.h"
#include "target/worker.h"

namespace nvublk::target {

class Connection final : public QueueOwner,
                         public Pollable,
                         public std::enable_shared_from_this<Connection> {
 public:
  /// Takes the socket, which is non-blocking.
  Connection(Worker& worker, Subsystem& subsystem, int fd, ListenAddress local);
  ~Connection() override;

  void open();
  void close();
  const Queue& queue() const { return queue_; }

  void on_ready(std::uint32_t events) override;
  void complete_held(std::uint16_t cid, std::uint32_t result,
                     nvme::spec::NvmeStatus status) override;
  void close_later() override;

 private:
  enum class Phase : std::uint8_t {
    kSecure,       ///< TLS comes first, where it is demanded
    kInitialize,   ///< ICReq comes then
    kLive,         ///< capsules and data
    kTerminating,  ///< a termination request was sent; what comes is thrown away
    kClosed,
  };
  enum class Step : std::uint8_t { kAgain, kNeedMore, kStop };

  /// How long a host has for closing the connection after a termination request or an alert.
  static constexpr std::chrono::seconds kTerminationTime{5};
  /// While so many bytes wait to go out, no more commands are taken.
  static constexpr std::size_t kOutputHighWater = 8u << 20;

  // connection.cc: the socket
  void secure();
  bool receive();
  void receive_to_nowhere();
  ssize_t receive_into(std::span<const iovec> entries);
  ssize_t send_from(std::span<iovec> entries);
  bool more_in_record() const;
  void flush();
  void update_watch();
  std::size_t send_limit() const;
  void start_deadline(std::chrono::milliseconds delay);
  void check_keep_alive();

  // connection_input.cc: what comes in
  void process();
  Step process_pdu();
  Step process_h2c_payload();
  void on_initialize(const std::uint8_t* bytes);
  void on_capsule(const std::uint8_t* bytes, const PduShape& shape);
  void on_command(const nvme::spec::SubmissionEntry& sqe, Bytes in_capsule, bool digest_error);
  void on_data_command(const nvme::spec::SubmissionEntry& sqe, Bytes in_capsule, bool digest_error);
  Step on_h2c_data(const std::uint8_t* bytes, const PduShape& shape);
  void on_transfer_data_complete();
  void solicit(Transfer& transfer);
  void run(const nvme::spec::SubmissionEntry& sqe, Bytes data);
  void run_later(const nvme::spec::SubmissionEntry& sqe, Bytes data, std::uint32_t delay_ms);
  void finish(const nvme::spec::SubmissionEntry& sqe, Reply reply);
  void terminate(const PduError& error, Bytes offender);

  bool admin() const { return queue_.is_admin(); }
  Bytes input() const { return {buffer_.get() + begin_, end_ - begin_}; }
  void consume(std::size_t length) { begin_ += length; }

  Worker& worker_;
  Subsystem& subsystem_;
  const Options& options_;
  int fd_;
  std::unique_ptr<TlsSession> tls_;  ///< null: none
  Phase phase_ = Phase::kInitialize;
  Negotiated negotiated_;
  Queue queue_;
  OutputQueue output_;
  PduWriter writer_;
  TransferTable transfers_;
  std::bitset<65536> cids_;  ///< of commands that the host has outstanding
  std::uint32_t outstanding_ = 0;

  // What was received and not looked at yet: [begin_, end_) of the buffer.
  std::unique_ptr<std::uint8_t[]> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;

  // The H2CData PDU whose data is arriving.
  Transfer* incoming_ = nullptr;
  std::uint32_t incoming_offset_ = 0;  ///< in the command's data
  std::uint32_t incoming_left_ = 0;
  bool incoming_digest_ = false;
  Crc32c incoming_crc_;

  std::uint32_t watched_ = 0;
  std::uint64_t bytes_sent_ = 0;
  std::optional<std::uint64_t> byte_limit_;  ///< cut after so many bytes sent
  std::optional<Worker::TimerId> deadline_;
  std::optional<Worker::TimerId> keep_alive_timer_;
  std::uint32_t keep_alive_ms_ = 0;
};

}  // namespace nvublk::target
