// What the target does with hosts that have to authenticate themselves and do not, or wrongly. That
// it lets the right ones in, the initiator's tests and other hosts show.

#include "nvme/spec/authentication.h"

#include <functional>
#include <string>
#include <utility>

#include "target/target_fixture.h"

namespace nvublk::target {
namespace {

using namespace nvme::spec;

const std::string kHostNqn = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555";
constexpr char kKey[] = "DHHC-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:";

class AuthenticationTest : public TargetTest {
 protected:
  std::unique_ptr<WireClient> connected(bool knows_host = true) {
    Options options = defaults();
    options.dhchap.group = DhchapGroup::kFfdhe2048;
    const std::string other = knows_host ? "" : "x";
    EXPECT_TRUE(options.set_dhchap_key(kHostNqn + other + "=" + kKey, false));
    start(options);
    auto host = client();
    host->hostnqn = kHostNqn;
    host->initialize();
    connect_ = host->connect(0);
    return host;
  }
  static SubmissionEntry command(FabricsCommandType type, std::uint32_t length) {
    AuthenticationCommand command;
    command.fctype = std::to_underlying(type);
    command.spsp0 = kAuthenticationSpsp;
    command.spsp1 = kAuthenticationSpsp;
    command.secp = kAuthenticationSecp;
    command.length = length;
    command.sgl.length = length;
    command.sgl.identifier =
        SglDescriptor::make_identifier(SglType::kTransportDataBlock, SglSubtype::kTransportA);
    return as_submission_entry(command);
  }
  static Outcome send(WireClient& host, const ByteVector& message) {
    return host.run(command(FabricsCommandType::kAuthenticationSend,
                            static_cast<std::uint32_t>(message.size())),
                    message, true);
  }
  static Outcome receive(WireClient& host, std::uint32_t length = kAuthenticationMaxBytes) {
    return host.run(command(FabricsCommandType::kAuthenticationReceive, length));
  }
  template <typename Message>
  static ByteVector bytes(const Message& message) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(&message);
    return ByteVector(first, first + sizeof(message));
  }
  static AuthNegotiate negotiate() {
    AuthNegotiate message;
    message.header.transaction = std::uint16_t{7};
    message.protocol.halen = 1;
    message.protocol.hashes[0] = std::to_underlying(DhchapHash::kSha384);
    message.protocol.dhlen = 1;
    message.protocol.groups[0] = std::to_underlying(DhchapGroup::kFfdhe2048);
    return message;
  }
  // The reason in the AUTH_Failure1 that the host gets; 0 if it gets something else.
  static int failure(WireClient& host) {
    const Outcome outcome = receive(host);
    if (!outcome.status().ok() || outcome.data.size() < sizeof(AuthFailure)) return 0;
    return outcome.data[0] == 0 && outcome.data[1] == kAuthFailure1 ? outcome.data[7] : 0;
  }

  Outcome connect_;
};

TEST_F(AuthenticationTest, WhoHasNotAuthenticatedGetsNothing) {
  auto host = connected();
  ASSERT_TRUE(connect_.status().ok());
  EXPECT_TRUE(ConnectResult::decode(connect_.cqe).authentication_required);
  const auto refused = [](const Outcome& outcome) {
    return outcome.status().is(FabricsStatus::kAuthenticationRequired);
  };
  EXPECT_TRUE(refused(host->run(host->property_get(Property::kCap, true))));
  EXPECT_TRUE(refused(host->run(host->property_set(Property::kCc, 1))));
  EXPECT_TRUE(refused(host->identify(1)));
  EXPECT_TRUE(receive(*host).status().is(GenericStatus::kCommandSequenceError))
      << "there is no message for it";
  EXPECT_TRUE(send(*host, bytes(negotiate())).status().ok());
  EXPECT_TRUE(refused(host->identify(1)));
  const Outcome challenge = receive(*host);
  ASSERT_TRUE(challenge.status().ok());
  EXPECT_EQ(challenge.data[1], kDhchapChallenge);
  EXPECT_EQ(challenge.data[8], 2) << "the only hash that was offered";
  EXPECT_TRUE(refused(host->identify(1)));
}

TEST_F(AuthenticationTest, OthersNeedNotAuthenticate) {
  auto host = connected(false);
  EXPECT_FALSE(ConnectResult::decode(connect_.cqe).authentication_required);
  EXPECT_TRUE(host->run(host->property_get(Property::kCap, true)).status().ok());
  EXPECT_TRUE(send(*host, bytes(negotiate())).status().is(GenericStatus::kInvalidField));
}

TEST_F(AuthenticationTest, CommandsThatCannotBeRightAreRefused) {
  auto host = connected();
  for (const std::size_t at : {41u, 42u, 43u, 44u}) {  // SPSP0, SPSP1, SECP, TL or AL
    for (const auto type :
         {FabricsCommandType::kAuthenticationSend, FabricsCommandType::kAuthenticationReceive}) {
      SubmissionEntry sqe = command(type, 72);
      reinterpret_cast<std::uint8_t*>(&sqe)[at]++;
      const bool sends = type == FabricsCommandType::kAuthenticationSend;
      const ByteVector data = sends ? bytes(negotiate()) : ByteVector{};
      EXPECT_TRUE(host->run(sqe, data, sends).status().is(GenericStatus::kInvalidField)) << at;
    }
  }
  EXPECT_TRUE(send(*host, bytes(negotiate())).status().ok());
  EXPECT_TRUE(receive(*host, 64).status().is(GenericStatus::kInvalidField)) << "no room";
}

TEST_F(AuthenticationTest, MessagesThatCannotBeRightFail) {
  using Reason = AuthFailureReason;
  struct Case {
    const char* what;
    std::function<void(AuthNegotiate&)> change;
    Reason reason;
  };
  const std::vector<Case> cases = {
      {"secure channel", [](AuthNegotiate& m) { m.sc_c = 1; }, Reason::kSecureChannelMismatch},
      {"two protocols", [](AuthNegotiate& m) { m.napd = 2; }, Reason::kProtocolUnusable},
      {"another protocol", [](AuthNegotiate& m) { m.protocol.authid = 2; },
       Reason::kProtocolUnusable},
      {"no hash", [](AuthNegotiate& m) { m.protocol.halen = 0; }, Reason::kHashUnusable},
      {"unknown hash", [](AuthNegotiate& m) { m.protocol.hashes[0] = 9; }, Reason::kHashUnusable},
      {"unknown group", [](AuthNegotiate& m) { m.protocol.groups[0] = 9; }, Reason::kGroupUnusable},
      {"too many hashes", [](AuthNegotiate& m) { m.protocol.halen = 31; },
       Reason::kIncorrectPayload},
      {"too many groups", [](AuthNegotiate& m) { m.protocol.dhlen = 255; },
       Reason::kIncorrectPayload},
      {"another message", [](AuthNegotiate& m) { m.header.id = 9; }, Reason::kIncorrectMessage},
  };
  auto host = connected();
  for (const Case& each : cases) {
    AuthNegotiate message = negotiate();
    each.change(message);
    ASSERT_TRUE(send(*host, bytes(message)).status().ok());
    EXPECT_EQ(failure(*host), std::to_underlying(each.reason)) << each.what;
  }
  ASSERT_TRUE(send(*host, ByteVector(4)).status().ok());
  EXPECT_EQ(failure(*host), std::to_underlying(Reason::kIncorrectPayload));
  ASSERT_TRUE(send(*host, ByteVector(20)).status().ok());
  EXPECT_EQ(failure(*host), std::to_underlying(Reason::kIncorrectPayload));
}

TEST_F(AuthenticationTest, RepliesThatCannotBeRightFail) {
  using Reason = AuthFailureReason;
  constexpr std::size_t kSize = sizeof(DhchapReply) + 2 * 48 + 256;
  struct Case {
    const char* what;
    std::function<void(DhchapReply&, std::size_t&)> change;
    Reason reason;
  };
  const std::vector<Case> cases = {
      {"response", [](DhchapReply&, std::size_t&) {}, Reason::kFailed},
      {"hash length", [](DhchapReply& m, std::size_t&) { m.hl = 32; }, Reason::kIncorrectPayload},
      {"transaction", [](DhchapReply& m, std::size_t&) { m.header.transaction = std::uint16_t{8}; },
       Reason::kIncorrectPayload},
      {"cut off", [](DhchapReply&, std::size_t& size) { size -= 1; }, Reason::kIncorrectPayload},
      {"no value", [](DhchapReply& m, std::size_t&) { m.dhvlen = std::uint16_t{0}; },
       Reason::kIncorrectPayload},
      {"challenge without a number", [](DhchapReply& m, std::size_t&) { m.cvalid = 1; },
       Reason::kIncorrectPayload},
      {"number without a challenge",
       [](DhchapReply& m, std::size_t&) { m.seqnum = std::uint32_t{1}; },
       Reason::kIncorrectPayload},
  };
  auto host = connected();
  for (const Case& each : cases) {
    ASSERT_TRUE(send(*host, bytes(negotiate())).status().ok());
    ASSERT_TRUE(receive(*host).status().ok());
    DhchapReply reply;
    reply.header = {std::to_underlying(AuthType::kDhchap), kDhchapReply, {}, Le16(7)};
    reply.hl = 48;
    reply.dhvlen = std::uint16_t{256};
    std::size_t size = kSize;
    each.change(reply, size);
    ByteVector message = bytes(reply);
    message.resize(kSize, 0x11);
    message.resize(size);
    ASSERT_TRUE(send(*host, message).status().ok());
    EXPECT_EQ(failure(*host), std::to_underlying(each.reason)) << each.what;
    EXPECT_TRUE(host->identify(1).status().is(FabricsStatus::kAuthenticationRequired));
  }
}

TEST(DhchapKeyOptions, SayWhatIsWrong) {
  Options options;
  EXPECT_FALSE(options.set_dhchap_key(kKey, false)) << "no host";
  EXPECT_FALSE(options.set_dhchap_key("nqn.x=DHHC-1:04:AAAA:", false));
  EXPECT_FALSE(options.set_dhchap_key("nqn.x=DHHC-1:00:AAAA:", false));
  EXPECT_FALSE(options.set_dhchap_key("nqn.x=DHHC-1:00:====:", false));
  std::string damaged = std::string("nqn.x=") + kKey;
  damaged[20] ^= 1;
  EXPECT_FALSE(options.set_dhchap_key(damaged, false));
  EXPECT_TRUE(options.dhchap_hosts.empty());
  EXPECT_TRUE(options.set_dhchap_key(std::string("nqn.a=b=") + kKey, true));
  EXPECT_FALSE(options.check()) << "a host's key is missing";
  EXPECT_TRUE(options.set_dhchap_key(std::string("nqn.a=b=") + kKey, false));
  EXPECT_TRUE(options.check());
  ASSERT_EQ(options.dhchap_hosts.size(), 1u);
  EXPECT_EQ(options.dhchap_hosts[0].hostnqn, "nqn.a=b");
}

}  // namespace
}  // namespace nvublk::target
