#pragma once

// The controller's side of DH-HMAC-CHAP on one queue. It shares no code with the initiator's side.
// [Base 2.3 §8.3.5.5] Worker-affine.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nvme/spec/authentication.h"
#include "target/dhchap_key.h"

namespace nvublk::target {

class Authentication {
 public:
  using Bytes = std::span<const std::uint8_t>;

  Authentication(DhchapHostOptions host, std::string subnqn, DhchapPreference preference)
      : host_(std::move(host)), subnqn_(std::move(subnqn)), preference_(preference) {}

  /// The host has authenticated itself, and we ourselves if it wanted that.
  bool done() const { return done_; }
  /// A message from the host. What is wrong with it the host is told when it asks for the next one.
  void send(Bytes message);
  /// The message that the host asks for; nothing when there is none for it.
  std::vector<std::uint8_t> receive();

 private:
  enum class Next : std::uint8_t {
    kNegotiate,
    kChallenge,
    kReply,
    kSuccess1,
    kSuccess2,
    kFailure1
  };

  void on_negotiate(Bytes message);
  void on_reply(Bytes message);
  std::vector<std::uint8_t> challenge();
  std::vector<std::uint8_t> success1();
  std::vector<std::uint8_t> failure1();
  void fail(nvme::spec::AuthFailureReason reason);
  bool make_value();
  bool agree_on_secret(Bytes value);
  std::vector<std::uint8_t> response(bool of_host) const;
  nvme::spec::AuthHeader header(std::uint8_t id) const;

  const DhchapHostOptions host_;
  const std::string subnqn_;
  const DhchapPreference preference_;
  Next next_ = Next::kNegotiate;
  bool done_ = false;
  nvme::spec::AuthFailureReason failure_ = nvme::spec::AuthFailureReason::kFailed;
  std::uint16_t transaction_ = 0;
  std::uint8_t hash_ = 0;
  std::uint8_t group_ = 0;
  std::uint32_t own_sequence_ = 0;
  std::uint32_t host_sequence_ = 0;
  std::vector<std::uint8_t> own_challenge_;
  std::vector<std::uint8_t> host_challenge_;  ///< empty: we need not authenticate ourselves
  std::vector<std::uint8_t> prime_;
  std::vector<std::uint8_t> exponent_;
  std::vector<std::uint8_t> value_;
  std::vector<std::uint8_t> secret_;
};

}  // namespace nvublk::target
