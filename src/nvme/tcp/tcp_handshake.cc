#include "nvme/tcp/tcp_handshake.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "nvme/tcp/pdu_fault.h"

namespace nvublk::nvme::tcp {

namespace {

constexpr char kTlsStep[] = "TLS handshake";

// Alerts by which a target says that it does not want the key or does not know it. [RFC 8446 §6.2]
constexpr std::uint8_t kHandshakeFailure = 40;
constexpr std::uint8_t kIllegalParameter = 47;
constexpr std::uint8_t kAccessDenied = 49;
constexpr std::uint8_t kDecryptError = 51;
constexpr std::uint8_t kProtocolVersion = 70;
constexpr std::uint8_t kUnknownPskIdentity = 115;

// What to make of an alert.
std::string alert_advice(std::uint8_t alert, const TlsPsk& psk) {
  switch (alert) {
    case kIllegalParameter:
    case kDecryptError:
      return "; is --tls-key the key that the target has for '" + psk.identity() + "'?";
    case kHandshakeFailure:
    case kAccessDenied:
    case kUnknownPskIdentity:
      return "; it seems to have no key for '" + psk.identity() +
             "': are the NQNs, the kind of key and --tls-identity-version right?";
    case kProtocolVersion:
      return "; it must have TLS 1.3";
    default:
      return "";
  }
}

// Whether a peer that expects TLS has complained of what is none. [RFC 8446 §5.1]
bool is_tls_alert(std::span<const std::byte> answer) {
  return answer.size() >= 3 && answer[0] == std::byte{21} && answer[1] == std::byte{3} &&
         answer[2] <= std::byte{4};
}

// What to make of a connect() that failed.
std::string connect_advice(int error_number) {
  switch (error_number) {
    case ECONNREFUSED:
      return "; nothing listens there: is the target running, and is the port right?";
    case EHOSTUNREACH:
    case ENETUNREACH:
      return "; is the address right, and is the network up?";
    case EADDRNOTAVAIL:
      return "; the host address to connect from must be one of this machine's";
    case EACCES:
    case EPERM:
      return "; a firewall on this machine forbids it";
    default:
      return "";
  }
}

// The first line of what a foreign server said, if it is text; else its first bytes in hex.
std::string excerpt(std::span<const std::byte> bytes) {
  constexpr std::size_t kMaxText = 60;
  std::string text;
  for (const std::byte byte : bytes) {
    const char c = std::to_integer<char>(byte);
    if (c == '\r' || c == '\n' || text.size() == kMaxText) {
      break;
    }
    if (c < ' ' || c > '~') {
      text.clear();
      break;
    }
    text += c;
  }
  if (text.size() >= 4) {
    return "\"" + text + "\"";
  }
  text.clear();
  for (const std::byte byte : bytes.first(std::min<std::size_t>(bytes.size(), 8))) {
    std::array<char, 4> hex{};
    std::snprintf(hex.data(), hex.size(), "%02x ", std::to_integer<unsigned>(byte));
    text += hex.data();
  }
  return "bytes " + text + "...";
}

}  // namespace

std::span<const TcpHandshake::Row> TcpHandshake::rows() const {
  using H = TcpHandshake;
  static constexpr std::array kRows = {
      Row{"TCP connect", "TCP 1.1 §3.1", &H::limit, &H::begin_connect, &H::end_connect},
      Row{kTlsStep, "TCP 1.1 §3.6.1", &H::limit, &H::begin_tls, &H::end_tls},
      Row{"ICReq", "TCP 1.1 §3.6.2.2", &H::limit, &H::begin_send, &H::end_send},
      Row{"ICResp", "TCP 1.1 §3.6.2.3", &H::limit, &H::begin_receive, &H::end_receive},
  };
  return kRows;
}

std::span<std::byte> TcpHandshake::ic_req() {
  return std::as_writable_bytes(std::span(&ic_req_, 1));
}

std::span<std::byte> TcpHandshake::receive_space() {
  return std::span(answer_).subspan(answered_);
}

// HPDA 0: 4-byte alignment is all we need. MAXR2T 0: one R2T at a time for each command.
std::optional<HandshakeAction> TcpHandshake::begin_send() {
  ic_req_ = {};
  ic_req_.pfv = spec::kPduFormatVersion;
  ic_req_.dgst =
      static_cast<std::uint8_t>((options_.header_digest ? spec::kHeaderDigestEnable : 0) |
                                (options_.data_digest ? spec::kDataDigestEnable : 0));
  answered_ = 0;
  return HandshakeAction::kSend;
}

StepNext TcpHandshake::end_connect(const HandshakeOutcome& outcome) {
  if (outcome.error_number == 0) {
    if (tls_ != nullptr) {
      tls_->advance();
    }
    return StepNext::next();
  }
  Error error = Error::from_errno(outcome.error_number, "cannot connect to " + options_.peer);
  error.text += connect_advice(outcome.error_number);
  return StepNext::fail(std::move(error));
}

StepNext TcpHandshake::lost(int error_number) const {
  return StepNext::fail(
      Error::from_errno(error_number, "the connection to " + options_.peer + " broke"));
}

StepNext TcpHandshake::closed(std::string_view question) const {
  return StepNext::fail(Error::make(
      ErrorCode::kDisconnected,
      options_.peer + " accepted the connection and closed it at once; " + std::string(question)));
}

StepNext TcpHandshake::refuse(std::string text) const {
  return StepNext::fail(Error::make(ErrorCode::kProtocol, options_.peer + ": " + std::move(text)));
}

std::optional<HandshakeAction> TcpHandshake::begin_tls() {
  if (tls_ == nullptr) {
    return std::nullopt;
  }
  tls_sends_ = tls_->has_output();
  return tls_sends_ ? HandshakeAction::kTlsSend : HandshakeAction::kTlsReceive;
}

StepNext TcpHandshake::end_tls(const HandshakeOutcome& outcome) {
  if (outcome.error_number != 0) {
    return lost(outcome.error_number);
  }
  if (tls_sends_) {
    tls_->sent(tls_->output().iov_len);
  } else if (outcome.bytes == 0) {
    return closed("does it have TLS at this port, and a key for '" + tls_->psk().identity() + "'?");
  } else {
    tls_->received(outcome.bytes);
    tls_->advance();
  }
  if (tls_->state() == TlsChannel::State::kFailed) {
    return tls_failed();
  }
  return tls_->state() == TlsChannel::State::kOpen && !tls_->has_output()
             ? StepNext::next()
             : StepNext::repeat(Duration::zero());
}

StepNext TcpHandshake::tls_failed() const {
  const auto failed = [](ErrorCode code, std::string text) {
    return StepNext::fail(Error::make(code, std::move(text)));
  };
  switch (tls_->fault()) {
    case TlsChannel::Fault::kAlert:
      return failed(ErrorCode::kPermission, options_.peer + " ended TLS with the alert '" +
                                                tls_->reason() + "'" +
                                                alert_advice(tls_->alert(), tls_->psk()));
    case TlsChannel::Fault::kNoKey:
      return failed(ErrorCode::kPermission, options_.peer + " does not use the key for '" +
                                                tls_->psk().identity() + "': " + tls_->reason() +
                                                "; does it have that key?");
    case TlsChannel::Fault::kNotTls:
      return failed(ErrorCode::kProtocol, "the peer at " + options_.peer +
                                              " does not speak TLS (it answered " +
                                              excerpt(tls_->first_bytes()) +
                                              "); set it up there, or connect without --tls-key");
    case TlsChannel::Fault::kOther:
    case TlsChannel::Fault::kNone:
      break;
  }
  return failed(ErrorCode::kProtocol, "TLS with " + options_.peer + " failed: " + tls_->reason());
}

StepNext TcpHandshake::end_send(const HandshakeOutcome& outcome) {
  return outcome.error_number == 0 ? StepNext::next() : lost(outcome.error_number);
}

StepNext TcpHandshake::end_receive(const HandshakeOutcome& outcome) {
  if (outcome.error_number != 0) {
    return lost(outcome.error_number);
  }
  if (outcome.bytes == 0) {
    if (answered_ > 0) {
      return foreign();
    }
    if (tls_ != nullptr && tls_->state() == TlsChannel::State::kFailed) {
      return tls_failed();
    }
    return closed(tls_ != nullptr ? "is it an NVMe/TCP port?"
                                  : "is it an NVMe/TCP port, or does it want TLS (--tls-key)?");
  }
  answered_ += outcome.bytes;
  CHECK(answered_ <= answer_.size());
  return check_answer();
}

StepNext TcpHandshake::foreign() const {
  return StepNext::fail(
      Error::make(ErrorCode::kProtocol, "the peer at " + options_.peer +
                                            " does not speak NVMe/TCP (it answered " +
                                            excerpt(std::span(answer_).first(answered_)) + ")"));
}

StepNext TcpHandshake::check_answer() {
  spec::CommonHeader ch;
  if (is_tls_alert(std::span(answer_).first(answered_))) {
    return StepNext::fail(Error::make(ErrorCode::kPermission,
                                      options_.peer + " wants TLS; give its key with --tls-key"));
  }
  if (answered_ < sizeof(ch)) {
    return StepNext::repeat(Duration::zero());
  }
  std::memcpy(&ch, answer_.data(), sizeof(ch));
  const bool termination = ch.type() == spec::PduType::kC2hTermReq;
  const std::uint32_t plen = ch.plen.get();
  if ((!termination && ch.type() != spec::PduType::kIcResp) ||
      ch.hlen != spec::pdu_header_length(ch.type()) || plen < ch.hlen ||
      plen > (termination ? spec::kTermReqMaxBytes : sizeof(spec::IcResp))) {
    return foreign();
  }
  if (answered_ < plen) {
    return StepNext::repeat(Duration::zero());
  }
  if (termination) {
    spec::TermReq request;
    std::memcpy(&request, answer_.data(), sizeof(request));
    PduFault fault;
    fault.reason = PduFaultReason::kTerminated;
    fault.value = request.fes.get();
    fault.expected = request.fei.get();
    return refuse(pdu_fault_text(fault));
  }
  if (answered_ > plen) {
    return refuse("the controller sent more after ICResp, before any command");
  }
  spec::IcResp resp;
  std::memcpy(&resp, answer_.data(), sizeof(resp));
  return check_ic_resp(resp);
}

StepNext TcpHandshake::check_ic_resp(const spec::IcResp& resp) {
  if (resp.pfv.get() != spec::kPduFormatVersion) {
    return refuse("the controller wants PDU format version " + std::to_string(resp.pfv.get()) +
                  "; only 0 exists here");
  }
  if (resp.cpda > spec::kMaxPduDataAlignment) {
    return refuse("the controller's data alignment (CPDA) is " + std::to_string(resp.cpda) +
                  ", above 31");
  }
  const std::uint32_t max_h2c = resp.maxh2cdata.get();
  if (max_h2c < spec::kMinMaxH2cData || max_h2c % 4 != 0) {
    return refuse("the controller's MAXH2CDATA is " + std::to_string(max_h2c) +
                  "; it must be a multiple of 4 and at least 4096");
  }
  const bool header_digest = (resp.dgst & spec::kHeaderDigestEnable) != 0;
  const bool data_digest = (resp.dgst & spec::kDataDigestEnable) != 0;
  if (header_digest != options_.header_digest) {
    return refuse(header_digest
                      ? "the controller insists on header digests; attach with --hdr-digest"
                      : "the controller refuses header digests; attach without --hdr-digest");
  }
  if (data_digest != options_.data_digest) {
    return refuse(data_digest
                      ? "the controller insists on data digests; attach with --data-digest"
                      : "the controller refuses data digests; attach without --data-digest");
  }
  parameters_.header_digest = header_digest;
  parameters_.data_digest = data_digest;
  parameters_.data_alignment_bytes = spec::pdu_data_alignment_bytes(resp.cpda);
  parameters_.max_h2c_data_bytes = max_h2c;
  return StepNext::done();
}

Error TcpHandshake::explained_error() const {
  Error explained = error();
  if (explained.code != ErrorCode::kTimeout) {
    return explained;
  }
  if (step() == 0) {
    explained.text +=
        " from " + options_.peer + "; is the address right, or does a firewall drop it?";
  } else {
    explained.text = options_.peer + " accepted the connection, then gave " + explained.text +
                     (explained.step == kTlsStep ? "; does it have TLS at this port?"
                                                 : "; is it an NVMe/TCP port?");
  }
  return explained;
}

}  // namespace nvublk::nvme::tcp
