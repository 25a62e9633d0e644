#pragma once

// How a connection begins: TCP connect, TLS where there is a key, then ICReq and ICResp. A step
// machine; its owner does the socket work, and seals and opens what is sent and received after TLS.
// [TCP 1.1 §3.1, §3.6.1, §3.6.2.2, §3.6.2.3]

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/step_machine.h"
#include "nvme/spec/tcp_pdu.h"
#include "nvme/tcp/connection_parameters.h"
#include "nvme/tcp/tls_channel.h"

namespace nvublk::nvme::tcp {

enum class HandshakeAction : std::uint8_t {
  kConnect,     ///< connect the socket
  kTlsSend,     ///< send the channel's output() in full
  kTlsReceive,  ///< receive something, at most the channel's receive_space()
  kSend,        ///< send ic_req() in full
  kReceive,     ///< receive something, at most receive_space()
};

/// How an action went. For kReceive, `bytes` lie at the front of receive_space(), for kTlsReceive
/// of the channel's; 0 means that the peer has closed.
struct HandshakeOutcome {
  int error_number = 0;  ///< errno of a failed socket operation
  std::size_t bytes = 0;
  /// Failures are read by the rows, which can say more about them.
  std::optional<Error> error() const { return std::nullopt; }
};

class TcpHandshake : public StepMachine<TcpHandshake, HandshakeAction, HandshakeOutcome> {
 public:
  struct Options {
    std::string peer;  ///< "192.0.2.1:4420", for messages
    bool header_digest = false;
    bool data_digest = false;
    Duration step_timeout = seconds(5);
  };
  /// `tls` outlives it; null: without TLS.
  explicit TcpHandshake(Options options, TlsChannel* tls = nullptr)
      : options_(std::move(options)), tls_(tls) {}

  std::span<const Row> rows() const;
  std::span<std::byte> ic_req();
  std::span<std::byte> receive_space();
  /// What was settled; once done.
  const ConnectionParameters& parameters() const { return parameters_; }
  /// error() with what a timeout does not know: which step was silent, and what that may mean.
  Error explained_error() const;

 private:
  Duration limit() const { return options_.step_timeout; }
  std::optional<HandshakeAction> begin_connect() { return HandshakeAction::kConnect; }
  std::optional<HandshakeAction> begin_tls();
  std::optional<HandshakeAction> begin_send();
  std::optional<HandshakeAction> begin_receive() { return HandshakeAction::kReceive; }
  StepNext end_connect(const HandshakeOutcome& outcome);
  StepNext end_tls(const HandshakeOutcome& outcome);
  StepNext end_send(const HandshakeOutcome& outcome);
  StepNext end_receive(const HandshakeOutcome& outcome);
  StepNext lost(int error_number) const;
  StepNext closed(std::string_view question) const;
  StepNext tls_failed() const;
  StepNext refuse(std::string text) const;
  StepNext check_answer();
  StepNext check_ic_resp(const spec::IcResp& resp);
  StepNext foreign() const;

  Options options_;
  TlsChannel* tls_;
  bool tls_sends_ = false;  // the outstanding action is kTlsSend
  spec::IcReq ic_req_;
  std::array<std::byte, 256> answer_{};
  std::size_t answered_ = 0;  // bytes of answer_
  ConnectionParameters parameters_;
};

}  // namespace nvublk::nvme::tcp
