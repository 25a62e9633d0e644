#pragma once

// Builds the PDUs that go to a host. Worker-affine.

#include <cstdint>
#include <span>

#include "nvme/spec/tcp_pdu.h"
#include "target/faults.h"
#include "target/output_queue.h"
#include "target/pdu_rules.h"
#include "target/reply.h"

namespace nvublk::target {

class PduWriter {
 public:
  PduWriter(OutputQueue& output, const Negotiated& negotiated, FaultTable& faults)
      : output_(output), negotiated_(negotiated), faults_(faults) {}

  void initialize_response(const nvme::spec::IcResp& pdu);
  void response(const nvme::spec::CompletionEntry& cqe, bool admin);
  /// All data of `reply` in C2HData PDUs of at most `max_pdu_bytes` (0: one PDU). With `success`
  /// the last one ends the command.
  void data(std::uint16_t cid, const Reply& reply, std::uint32_t max_pdu_bytes, bool success,
            bool admin);
  void ready_to_transfer(std::uint16_t cid, std::uint16_t ttag, std::uint32_t offset,
                         std::uint32_t length, bool admin);
  void termination(const PduError& error, std::span<const std::uint8_t> offender);

 private:
  void add_header_digest(OutputPdu& pdu, bool admin);
  template <typename Pdu>
  void simple(Pdu pdu, bool completes, bool admin);

  OutputQueue& output_;
  const Negotiated& negotiated_;
  FaultTable& faults_;
};

}  // namespace nvublk::target
