#pragma once

// A host for tests: raw NVMe/TCP over a blocking socket, made of the spec types and nothing of the
// initiator, so that it can also misbehave. Failures throw.

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "nvme/spec/fabrics.h"
#include "nvme/spec/opcodes.h"
#include "nvme/spec/properties.h"
#include "nvme/spec/tcp_pdu.h"

namespace nvublk::target {

using ByteVector = std::vector<std::uint8_t>;

/// CRC32C bit by bit: not what the target computes it with.
std::uint32_t plain_crc32c(std::span<const std::uint8_t> data);

/// A PDU as it was received; its digests were good.
struct Pdu {
  ByteVector bytes;
  ByteVector data;

  template <typename T>
  T as() const {
    T value;
    if (bytes.size() < sizeof(T)) throw std::runtime_error("the PDU is too short");
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  nvme::spec::CommonHeader ch() const { return as<nvme::spec::CommonHeader>(); }
  nvme::spec::PduType type() const { return ch().type(); }
};

/// How a command went.
struct Outcome {
  nvme::spec::CompletionEntry cqe;  ///< zeros when the SUCCESS flag stood for it
  ByteVector data;
  unsigned data_pdus = 0;
  unsigned r2ts = 0;
  bool success_flag = false;

  nvme::spec::NvmeStatus status() const { return cqe.status(); }
};

struct Digests {
  bool header = false;
  bool data = false;
};

class WireClient {
 public:
  explicit WireClient(std::uint16_t port);
  WireClient(const WireClient&) = delete;
  WireClient& operator=(const WireClient&) = delete;
  ~WireClient();

  // Bytes and PDUs.
  void send_raw(std::span<const std::uint8_t> bytes);
  template <typename T>
  void send_struct(const T& value) {
    send_raw({reinterpret_cast<const std::uint8_t*>(&value), sizeof(T)});
  }
  /// The next PDU, or nothing when the target closed the connection.
  std::optional<Pdu> receive();
  /// The next PDU, which must be a CapsuleResp.
  nvme::spec::CompletionEntry receive_response();
  /// The next PDU, which must be a termination request, after which the target closes.
  nvme::spec::TermReq receive_termination();
  /// Whether the target closes the connection without another word.
  bool closed_by_target();

  nvme::spec::IcResp initialize(Digests digests = {}, std::uint8_t hpda = 0);
  void send_command(const nvme::spec::SubmissionEntry& sqe,
                    std::span<const std::uint8_t> in_capsule = {});
  void send_h2c_data(const nvme::spec::R2t& r2t, std::uint32_t offset,
                     std::span<const std::uint8_t> data, bool last);
  /// Sends a command with `data` after R2Ts, or in the capsule, and waits for its end.
  Outcome run(nvme::spec::SubmissionEntry sqe, std::span<const std::uint8_t> data = {},
              bool in_capsule = false);
  /// The rest of run(), for a command that was sent.
  Outcome finish(std::span<const std::uint8_t> data = {});

  // Commands.
  Outcome connect(std::uint16_t qid, std::uint16_t cntlid = nvme::spec::kCntlidDynamic);
  nvme::spec::SubmissionEntry property_get(nvme::spec::Property property, bool eight_bytes);
  nvme::spec::SubmissionEntry property_set(nvme::spec::Property property, std::uint32_t value);
  /// ICReq, Connect, and CC.EN on an admin queue; returns the CNTLID.
  std::uint16_t start_controller(Digests digests = {});
  /// ICReq and Connect on an I/O queue.
  void start_queue(std::uint16_t qid, std::uint16_t cntlid, Digests digests = {});

  nvme::spec::SubmissionEntry command(std::uint8_t opcode, std::uint32_t nsid = 0);
  nvme::spec::SubmissionEntry admin(nvme::spec::AdminOpcode opcode, std::uint32_t nsid = 0);
  /// An I/O command over `blocks` from `lba` that transfers `length` bytes.
  nvme::spec::SubmissionEntry io(nvme::spec::NvmOpcode opcode, std::uint32_t nsid,
                                 std::uint64_t lba, std::uint32_t blocks, std::uint32_t length);
  Outcome identify(std::uint8_t cns, std::uint32_t nsid = 0);
  Outcome get_log(std::uint8_t lid, std::uint32_t length, std::uint64_t offset = 0,
                  bool retain = false);
  Outcome set_feature(std::uint8_t feature, std::uint32_t value);
  Outcome get_feature(std::uint8_t feature);

  // What Connect says; change before it.
  std::string subnqn = "nqn.2026-01.io.nvublk:test";
  std::string hostnqn = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555";
  std::array<std::uint8_t, 16> hostid{0x11};
  std::uint32_t kato_ms = 0;
  std::uint32_t entries = 32;
  bool disable_flow_control = true;

 private:
  bool read_exactly(std::uint8_t* at, std::size_t length);
  std::uint16_t next_cid() { return cid_++; }

  int fd_;
  Digests digests_;
  std::uint8_t cpda_ = 0;
  std::uint32_t max_h2c_ = 4096;
  std::uint16_t cid_ = 1;
};

}  // namespace nvublk::target
