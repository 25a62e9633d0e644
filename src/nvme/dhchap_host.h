#pragma once

// The host's side of DH-HMAC-CHAP on one queue, from AUTH_Negotiate to the end. Pure: no I/O, no
// clock, no thread; its owner sends, receives and computes. [Base 2.3 §8.3.5.5] In other words:
//
//   send AUTH_Negotiate: the hashes and groups that we take
//   receive DH-HMAC-CHAP_Challenge: which of them the controller took, C1, its DH value
//   compute our response to C1, and what the controller has to respond to our C2
//   send DH-HMAC-CHAP_Reply: our response, C2, our DH value
//   receive DH-HMAC-CHAP_Success1: the controller's response
//   send DH-HMAC-CHAP_Success2, if the controller had to respond
//
// What is wrong with a message of the controller's is told to it with AUTH_Failure2, and is the
// sequence's error.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/step_machine.h"
#include "nvme/controller_options.h"
#include "nvme/dhchap_crypto.h"
#include "nvme/spec/authentication.h"

namespace nvublk::nvme {

/// What both sides agreed on.
struct DhchapResult {
  spec::DhchapHash hash = spec::DhchapHash::kSha256;
  spec::DhchapGroup group = spec::DhchapGroup::kNull;
  bool bidirectional = false;  ///< the controller was authenticated, too
};

struct DhchapParameters {
  std::string hostnqn;
  std::string subnqn;
  DhchapKey key;
  DhchapKey ctrlr_key;  ///< empty: the controller is not authenticated
  std::vector<spec::DhchapHash> hashes;
  std::vector<spec::DhchapGroup> groups;
  std::uint16_t transaction = 0;  ///< T_ID
  Duration step_limit{};          ///< for each message
};

/// With a T_ID at random.
Result<DhchapParameters> dhchap_parameters(const ControllerOptions& options);

/// What is computed from a challenge; on any thread.
struct DhchapCalculation {
  DhchapParameters parameters;
  DhchapResult agreed;
  std::vector<std::byte> challenge;  ///< C1
  std::uint32_t sequence = 0;        ///< S1
  std::vector<std::byte> dh_value;   ///< the controller's

  struct Answer {
    SecretBytes response;              ///< ours
    std::vector<std::byte> challenge;  ///< C2, zeroes unless bidirectional
    std::uint32_t sequence = 0;        ///< S2
    std::vector<std::byte> dh_value;   ///< ours
    SecretBytes controller_response;   ///< expected; empty unless bidirectional
  };
  Result<Answer> run() const;
};

struct DhchapAction {
  enum class Kind : std::uint8_t {
    kSend,       ///< `message`
    kReceive,    ///< into `message`, as much as there is
    kCalculate,  ///< DhchapHost::calculation(), and give the answer to answer()
  };
  Kind kind = Kind::kSend;
  std::span<std::byte> message{};
};

struct DhchapOutcome {
  std::optional<Error> failure{};
  std::optional<Error> error() const { return failure; }
};

class DhchapHost : public StepMachine<DhchapHost, DhchapAction, DhchapOutcome> {
 public:
  explicit DhchapHost(DhchapParameters parameters);

  static std::span<const Row> rows();
  const DhchapResult& result() const { return calculation_.agreed; }
  /// Why it failed: what was wrong with the controller's message, else error().
  const Error& reason() const { return refusal_ ? *refusal_ : error(); }
  const DhchapCalculation& calculation() const { return calculation_; }
  /// Of kCalculate, before its outcome.
  void answer(DhchapCalculation::Answer answer) { answer_ = std::move(answer); }

 private:
  Duration limit() const { return calculation_.parameters.step_limit; }
  std::optional<DhchapAction> negotiate();
  std::optional<DhchapAction> receive();
  StepNext check_challenge(const DhchapOutcome& outcome);
  std::optional<DhchapAction> calculate();
  StepNext check_answer(const DhchapOutcome& outcome);
  std::optional<DhchapAction> reply();
  StepNext check_success1(const DhchapOutcome& outcome);
  std::optional<DhchapAction> success2();
  StepNext accept(const DhchapOutcome& outcome);
  std::optional<DhchapAction> failure2();
  StepNext give_up(const DhchapOutcome& outcome);
  StepNext next(const DhchapOutcome&) { return StepNext::next(); }

  bool bidirectional() const { return !calculation_.parameters.ctrlr_key.empty(); }
  spec::AuthHeader header(spec::AuthType type, std::uint8_t id) const;
  DhchapAction send(std::size_t bytes);
  /// Whether the message received is of this kind; else what to do.
  std::optional<StepNext> check_message(std::uint8_t id);
  StepNext refuse(spec::AuthFailureReason reason, std::string text,
                  ErrorCode code = ErrorCode::kProtocol);
  StepNext refused_by_controller(const spec::AuthFailure& failure) const;
  template <typename Message>
  Message load() const;
  template <typename Message>
  void store(const Message& message);

  DhchapCalculation calculation_;
  DhchapCalculation::Answer answer_;
  std::optional<Error> refusal_;
  spec::AuthFailureReason failure_ = spec::AuthFailureReason::kFailed;
  alignas(64) std::array<std::byte, spec::kAuthenticationMaxBytes> message_{};
};

}  // namespace nvublk::nvme
