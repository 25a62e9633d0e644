#include "nvme/dhchap_host.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace nvublk::nvme {

namespace {

enum Step : std::size_t { kFailure2 = 6 };

constexpr char kWho[] = "the target's DH-HMAC-CHAP ";

struct FailureText {
  spec::AuthFailureReason reason;
  const char* text;
};
constexpr std::array<FailureText, 7> kFailures = {{
    {spec::AuthFailureReason::kFailed, "authentication failed"},
    {spec::AuthFailureReason::kProtocolUnusable, "authentication protocol not usable"},
    {spec::AuthFailureReason::kSecureChannelMismatch, "secure channel concatenation mismatch"},
    {spec::AuthFailureReason::kHashUnusable, "hash function not usable"},
    {spec::AuthFailureReason::kGroupUnusable, "Diffie-Hellman group not usable"},
    {spec::AuthFailureReason::kIncorrectPayload, "incorrect payload"},
    {spec::AuthFailureReason::kIncorrectMessage, "incorrect protocol message"},
}};

template <typename Id>
bool offered(const std::vector<Id>& ids, std::uint8_t id) {
  return std::ranges::find(ids, static_cast<Id>(id)) != ids.end();
}

// At random, and never 0: that would say that the controller has not to respond.
// [Base 2.3 §8.3.5.5.4]
Result<std::uint32_t> random_sequence() {
  std::uint32_t sequence = 0;
  while (sequence == 0) {
    if (Status filled = fill_random(std::as_writable_bytes(std::span(&sequence, 1))); !filled) {
      return std::unexpected(std::move(filled.error()));
    }
  }
  return sequence;
}

}  // namespace

Result<DhchapParameters> dhchap_parameters(const ControllerOptions& options) {
  DhchapParameters parameters;
  parameters.hostnqn = options.host.nqn;
  parameters.subnqn = options.transport.id.subnqn;
  parameters.key = options.dhchap_key;
  parameters.ctrlr_key = options.dhchap_ctrlr_key;
  parameters.hashes = options.dhchap_digests;
  parameters.groups = options.dhchap_dhgroups;
  parameters.step_limit = options.admin_timeout;
  if (Status filled = fill_random(std::as_writable_bytes(std::span(&parameters.transaction, 1)));
      !filled) {
    return std::unexpected(std::move(filled.error()));
  }
  return parameters;
}

Result<DhchapCalculation::Answer> DhchapCalculation::run() const {
  Answer answer;
  SecretBytes dh_secret;
  if (agreed.group != spec::DhchapGroup::kNull) {
    Result<DhExchange> exchange = dh_exchange(agreed.group, dh_value);
    if (!exchange) {
      return std::unexpected(std::move(exchange.error()));
    }
    answer.dh_value = std::move(exchange->value);
    dh_secret = std::move(exchange->secret);
  }
  Result<SecretBytes> response = dhchap_response({.key = parameters.key,
                                                  .hash = agreed.hash,
                                                  .role = "HostHost",
                                                  .challenge = challenge,
                                                  .sequence = sequence,
                                                  .transaction = parameters.transaction,
                                                  .own_nqn = parameters.hostnqn,
                                                  .peer_nqn = parameters.subnqn,
                                                  .dh_secret = dh_secret.span()});
  if (!response) {
    return std::unexpected(std::move(response.error()));
  }
  answer.response = std::move(*response);
  answer.challenge.resize(dhchap_hash_bytes(agreed.hash));
  if (!agreed.bidirectional) {
    return answer;
  }
  const Result<std::uint32_t> own_sequence = random_sequence();
  const Status filled = fill_random(answer.challenge);
  if (!own_sequence || !filled) {
    return std::unexpected(own_sequence ? filled.error() : own_sequence.error());
  }
  answer.sequence = *own_sequence;
  Result<SecretBytes> expected = dhchap_response({.key = parameters.ctrlr_key,
                                                  .hash = agreed.hash,
                                                  .role = "Controller",
                                                  .challenge = answer.challenge,
                                                  .sequence = answer.sequence,
                                                  .transaction = parameters.transaction,
                                                  .own_nqn = parameters.subnqn,
                                                  .peer_nqn = parameters.hostnqn,
                                                  .dh_secret = dh_secret.span()});
  if (!expected) {
    return std::unexpected(std::move(expected.error()));
  }
  answer.controller_response = std::move(*expected);
  return answer;
}

DhchapHost::DhchapHost(DhchapParameters parameters) {
  calculation_.parameters = std::move(parameters);
  calculation_.agreed.bidirectional = bidirectional();
}

std::span<const DhchapHost::Row> DhchapHost::rows() {
  using M = DhchapHost;
  static constexpr std::array<Row, 7> kRows = {{
      {"send AUTH_Negotiate", "Base 2.3 §8.3.5.4", &M::limit, &M::negotiate, &M::next},
      {"receive DH-HMAC-CHAP_Challenge", "Base 2.3 §8.3.5.5.3", &M::limit, &M::receive,
       &M::check_challenge},
      {"compute DH-HMAC-CHAP response", "Base 2.3 §8.3.5.5.4", &M::limit, &M::calculate,
       &M::check_answer, true},
      {"send DH-HMAC-CHAP_Reply", "Base 2.3 §8.3.5.5.4", &M::limit, &M::reply, &M::next},
      {"receive DH-HMAC-CHAP_Success1", "Base 2.3 §8.3.5.5.5", &M::limit, &M::receive,
       &M::check_success1},
      {"send DH-HMAC-CHAP_Success2", "Base 2.3 §8.3.5.5.6", &M::limit, &M::success2, &M::accept},
      {"send AUTH_Failure2", "Base 2.3 §8.3.5.4", &M::limit, &M::failure2, &M::give_up, true},
  }};
  return kRows;
}

template <typename Message>
Message DhchapHost::load() const {
  Message message;
  std::memcpy(static_cast<void*>(&message), message_.data(), sizeof(message));
  return message;
}

template <typename Message>
void DhchapHost::store(const Message& message) {
  std::memcpy(message_.data(), static_cast<const void*>(&message), sizeof(message));
}

spec::AuthHeader DhchapHost::header(spec::AuthType type, std::uint8_t id) const {
  spec::AuthHeader header;
  header.type = std::to_underlying(type);
  header.id = id;
  header.transaction = calculation_.parameters.transaction;
  return header;
}

DhchapAction DhchapHost::send(std::size_t bytes) {
  return {DhchapAction::Kind::kSend, std::span(message_).first(bytes)};
}

std::optional<DhchapAction> DhchapHost::negotiate() {
  const DhchapParameters& parameters = calculation_.parameters;
  spec::AuthNegotiate message;
  message.header = header(spec::AuthType::kCommon, spec::kAuthNegotiate);
  for (const spec::DhchapHash hash : parameters.hashes) {
    message.protocol.hashes[message.protocol.halen++] = std::to_underlying(hash);
  }
  for (const spec::DhchapGroup group : parameters.groups) {
    message.protocol.groups[message.protocol.dhlen++] = std::to_underlying(group);
  }
  store(message);
  return send(sizeof(message));
}

// The controller may send less than there is room for; what is left then reads zero.
std::optional<DhchapAction> DhchapHost::receive() {
  message_.fill(std::byte{0});
  return DhchapAction{DhchapAction::Kind::kReceive, message_};
}

StepNext DhchapHost::refuse(spec::AuthFailureReason reason, std::string text, ErrorCode code) {
  failure_ = reason;
  refusal_ = Error{code, std::move(text), step_name(), 0};
  return StepNext::jump(kFailure2);
}

StepNext DhchapHost::refused_by_controller(const spec::AuthFailure& failure) const {
  const auto known = std::ranges::find_if(kFailures, [&failure](const FailureText& each) {
    return std::to_underlying(each.reason) == failure.explanation;
  });
  std::string text = "the target refused to authenticate (AUTH_Failure1: ";
  text += failure.reason == spec::kAuthenticationFailure && known != kFailures.end()
              ? known->text
              : "reason " + std::to_string(failure.reason) + ", explanation " +
                    std::to_string(failure.explanation);
  text += ")";
  if (failure.explanation == std::to_underlying(spec::AuthFailureReason::kFailed)) {
    text += "; compare --dhchap-secret with the key that it has for host NQN \"" +
            calculation_.parameters.hostnqn + "\"";
    text += bidirectional() ? ", and see that it has a controller key" : "";
  }
  return StepNext::fail(Error::make(ErrorCode::kPermission, std::move(text)));
}

std::optional<StepNext> DhchapHost::check_message(std::uint8_t id) {
  const auto received = load<spec::AuthFailure>();
  const bool common = received.header.type == std::to_underlying(spec::AuthType::kCommon);
  if (common && received.header.id == spec::kAuthFailure1) {
    return refused_by_controller(received);
  }
  if (received.header.type != std::to_underlying(spec::AuthType::kDhchap) ||
      received.header.id != id) {
    return refuse(spec::AuthFailureReason::kIncorrectMessage,
                  "the target sent message " + std::to_string(received.header.id) + " of type " +
                      std::to_string(received.header.type) +
                      ", which does not belong there in DH-HMAC-CHAP");
  }
  if (received.header.transaction.get() != calculation_.parameters.transaction) {
    return refuse(spec::AuthFailureReason::kIncorrectPayload,
                  std::string(kWho) + "message is of another transaction (T_ID " +
                      std::to_string(received.header.transaction.get()) + ")");
  }
  return std::nullopt;
}

StepNext DhchapHost::check_challenge(const DhchapOutcome&) {
  if (auto wrong = check_message(spec::kDhchapChallenge)) {
    return *wrong;
  }
  using Reason = spec::AuthFailureReason;
  const auto received = load<spec::DhchapChallenge>();
  const std::string challenge = std::string(kWho) + "challenge ";
  if (!offered(calculation_.parameters.hashes, received.hashid)) {
    return refuse(Reason::kHashUnusable, challenge + "has hash " + std::to_string(received.hashid) +
                                             ", which was not offered");
  }
  if (!offered(calculation_.parameters.groups, received.dhgid)) {
    return refuse(Reason::kGroupUnusable, challenge + "has Diffie-Hellman group " +
                                              std::to_string(received.dhgid) +
                                              ", which was not offered");
  }
  const auto hash = static_cast<spec::DhchapHash>(received.hashid);
  const auto group = static_cast<spec::DhchapGroup>(received.dhgid);
  const std::size_t hash_bytes = dhchap_hash_bytes(hash);
  const std::size_t value_bytes = received.dhvlen.get();
  if (received.hl != hash_bytes) {
    return refuse(Reason::kIncorrectPayload, challenge + "has a hash length of " +
                                                 std::to_string(received.hl) + " bytes with " +
                                                 std::string(dhchap_hash_name(hash)));
  }
  if (value_bytes > dh_bytes(group) || (value_bytes == 0) != (group == spec::DhchapGroup::kNull)) {
    return refuse(Reason::kIncorrectPayload, challenge + "has a Diffie-Hellman value of " +
                                                 std::to_string(value_bytes) + " bytes with " +
                                                 std::string(dhchap_group_name(group)));
  }
  if (received.seqnum.get() == 0) {
    return refuse(Reason::kIncorrectPayload, challenge + "has the sequence number 0");
  }
  const auto rest = std::span(message_).subspan(sizeof(received));
  calculation_.agreed.hash = hash;
  calculation_.agreed.group = group;
  calculation_.sequence = received.seqnum.get();
  const auto c1 = rest.first(hash_bytes);
  calculation_.challenge.assign(c1.begin(), c1.end());
  const auto value = rest.subspan(hash_bytes, value_bytes);
  calculation_.dh_value.assign(value.begin(), value.end());
  return StepNext::next();
}

std::optional<DhchapAction> DhchapHost::calculate() {
  return DhchapAction{DhchapAction::Kind::kCalculate, {}};
}

StepNext DhchapHost::check_answer(const DhchapOutcome& outcome) {
  if (!outcome.failure) {
    return StepNext::next();
  }
  if (outcome.failure->code == ErrorCode::kProtocol) {
    return refuse(spec::AuthFailureReason::kIncorrectPayload,
                  std::string(kWho) + "challenge is refused: " + outcome.failure->text);
  }
  return refuse(spec::AuthFailureReason::kFailed, outcome.failure->text, outcome.failure->code);
}

std::optional<DhchapAction> DhchapHost::reply() {
  spec::DhchapReply message;
  message.header = header(spec::AuthType::kDhchap, spec::kDhchapReply);
  message.hl = static_cast<std::uint8_t>(answer_.challenge.size());
  message.cvalid = bidirectional() ? 1 : 0;
  message.dhvlen = static_cast<std::uint16_t>(answer_.dh_value.size());
  message.seqnum = answer_.sequence;
  store(message);
  std::size_t bytes = sizeof(message);
  for (const BytesView part : {std::as_const(answer_.response).span(), BytesView(answer_.challenge),
                               BytesView(answer_.dh_value)}) {
    std::ranges::copy(part, std::span(message_).subspan(bytes).begin());
    bytes += part.size();
  }
  return send(bytes);
}

StepNext DhchapHost::check_success1(const DhchapOutcome&) {
  if (auto wrong = check_message(spec::kDhchapSuccess1)) {
    return *wrong;
  }
  const auto received = load<spec::DhchapSuccess1>();
  const std::size_t hash_bytes = answer_.challenge.size();
  if (received.hl != hash_bytes) {
    return refuse(spec::AuthFailureReason::kIncorrectPayload,
                  std::string(kWho) + "success message has a hash length of " +
                      std::to_string(received.hl) + " bytes");
  }
  if (!bidirectional()) {
    return StepNext::next();
  }
  if (received.rvalid != 1) {
    return refuse(spec::AuthFailureReason::kIncorrectPayload,
                  "the target did not authenticate itself, although --dhchap-ctrl-secret asks for "
                  "that; give it a controller key");
  }
  const auto response = std::span(message_).subspan(sizeof(received), hash_bytes);
  if (!same_secret(response, std::as_const(answer_.controller_response).span())) {
    return refuse(spec::AuthFailureReason::kFailed,
                  "the target could not authenticate itself: its response to our challenge is "
                  "wrong; compare --dhchap-ctrl-secret with the target's controller key",
                  ErrorCode::kPermission);
  }
  return StepNext::next();
}

std::optional<DhchapAction> DhchapHost::success2() {
  if (!bidirectional()) {
    return std::nullopt;
  }
  spec::DhchapSuccess2 message;
  message.header = header(spec::AuthType::kDhchap, spec::kDhchapSuccess2);
  store(message);
  return send(sizeof(message));
}

StepNext DhchapHost::accept(const DhchapOutcome&) {
  return StepNext::done();
}

std::optional<DhchapAction> DhchapHost::failure2() {
  if (!refusal_) {
    return std::nullopt;
  }
  spec::AuthFailure message;
  message.header = header(spec::AuthType::kCommon, spec::kAuthFailure2);
  message.explanation = std::to_underlying(failure_);
  store(message);
  return send(sizeof(message));
}

StepNext DhchapHost::give_up(const DhchapOutcome&) {
  return StepNext::fail(*refusal_);
}

}  // namespace nvublk::nvme
