#include "nvme/tcp/tcp_handshake.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/tcp/controller_pdus.h"
#include "nvme/tcp/memory_tls_server.h"

namespace nvublk::nvme::tcp {
namespace {

using Action = TcpHandshake::Action;
using Event = TcpHandshake::Event;
using ::testing::HasSubstr;

constexpr const char* kSteps[] = {"TCP connect", "ICReq", "ICResp"};

TcpHandshake::Options options(bool digests = false) {
  return {"192.0.2.1:4420", digests, digests, seconds(5)};
}

Instant at(int second) {
  return Instant{} + seconds(second);
}

/// Plays a handshake up to where `step` is to be answered.
Action run_to(TcpHandshake& handshake, std::size_t step) {
  Action action = handshake.start(at(0));
  for (std::size_t i = 0; i < step; i++) {
    action = handshake.advance(Event::of({}), at(1));
  }
  return action;
}

Action answer(TcpHandshake& handshake, const Bytes& bytes) {
  std::ranges::copy(bytes, handshake.receive_space().begin());
  HandshakeOutcome outcome;
  outcome.bytes = bytes.size();
  return handshake.advance(Event::of(outcome), at(2));
}

Bytes bytes_of(const spec::IcResp& resp) {
  Bytes bytes;
  append(bytes, resp);
  return bytes;
}

spec::IcResp good() {
  spec::IcResp resp;
  resp.maxh2cdata = 65536;
  resp.cpda = 3;
  return resp;
}

TEST(TcpHandshake, SettlesTheParameters) {
  TcpHandshake handshake(options(true));
  run_to(handshake, 2);
  spec::IcResp resp = good();
  resp.dgst = spec::kHeaderDigestEnable | spec::kDataDigestEnable;
  EXPECT_EQ(answer(handshake, bytes_of(resp)).kind, Action::Kind::kDone);
  EXPECT_TRUE(handshake.parameters().header_digest);
  EXPECT_TRUE(handshake.parameters().data_digest);
  EXPECT_EQ(handshake.parameters().data_alignment_bytes, 16u);
  EXPECT_EQ(handshake.parameters().max_h2c_data_bytes, 65536u);
}

TEST(TcpHandshake, TakesTheAnswerByteByByte) {
  TcpHandshake handshake(options());
  run_to(handshake, 2);
  const Bytes bytes = bytes_of(good());
  for (std::size_t i = 0; i < bytes.size(); i++) {
    const Action action = answer(handshake, {bytes[i]});
    ASSERT_EQ(action.kind, i + 1 < bytes.size() ? Action::Kind::kPerform : Action::Kind::kDone);
    if (action.kind == Action::Kind::kPerform) {
      EXPECT_EQ(action.deadline, at(1) + seconds(5));  // not prolonged
    }
  }
}

TEST(TcpHandshake, FailsClosedAtEveryStepWithItsName) {
  HandshakeOutcome broken;
  broken.error_number = ECONNRESET;
  const Event faults[] = {
      Event::disconnected(Error::make(ErrorCode::kDisconnected, "gone")),
      Event::deadline(),
      Event::of(broken),
  };
  for (std::size_t step = 0; step < 3; step++) {
    for (const Event& fault : faults) {
      TcpHandshake handshake(options());
      EXPECT_EQ(run_to(handshake, step).kind, Action::Kind::kPerform);
      EXPECT_EQ(handshake.advance(fault, at(9)).kind, Action::Kind::kFailed);
      EXPECT_EQ(handshake.explained_error().step, kSteps[step]);
    }
  }
}

TEST(TcpHandshake, SaysThatOnlyZeroesAreNoAnswer) {
  TcpHandshake handshake(options());
  run_to(handshake, 2);
  EXPECT_EQ(answer(handshake, Bytes(8)).kind, Action::Kind::kFailed);
  EXPECT_THAT(handshake.error().text, HasSubstr("it answered bytes 00 00 00 00 00 00 00 00"));
}

TEST(TcpHandshake, ShowsAShortAnswerOfAPeerThatHungUp) {
  TcpHandshake handshake(options());
  run_to(handshake, 2);
  answer(handshake, Bytes(5, std::byte{'x'}));
  EXPECT_EQ(answer(handshake, {}).kind, Action::Kind::kFailed);
  EXPECT_THAT(handshake.error().text, HasSubstr("(it answered \"xxxxx\")"));
}

TEST(TcpHandshake, HandsATerminationOn) {
  TcpHandshake handshake(options());
  run_to(handshake, 2);
  const Bytes bytes =
      ControllerPdus::termination(spec::FatalErrorStatus::kUnsupportedParameter, 11, 128);
  EXPECT_EQ(answer(handshake, bytes).kind, Action::Kind::kFailed);
  EXPECT_THAT(handshake.error().text, HasSubstr("unsupported parameter (FES 06h) at byte 11"));
}

struct BadAnswer {
  const char* name;
  std::function<void(spec::IcResp&)> spoil;
  const char* text;
};

class TcpHandshakeBadAnswer : public ::testing::TestWithParam<BadAnswer> {};

TEST_P(TcpHandshakeBadAnswer, IsRefused) {
  for (const bool digests : {false, true}) {
    TcpHandshake handshake(options(digests));
    run_to(handshake, 2);
    spec::IcResp resp = good();
    resp.dgst = digests ? 3 : 0;
    GetParam().spoil(resp);
    const std::size_t length = std::min<std::size_t>(128, handshake.receive_space().size());
    Bytes bytes = bytes_of(resp);
    bytes.resize(length);
    ASSERT_EQ(answer(handshake, bytes).kind, Action::Kind::kFailed);
    EXPECT_EQ(handshake.error().code, ErrorCode::kProtocol);
    EXPECT_EQ(handshake.error().step, "ICResp");
    EXPECT_THAT(handshake.error().text, HasSubstr(GetParam().text));
    EXPECT_THAT(handshake.error().text, HasSubstr("192.0.2.1:4420"));
  }
}

const BadAnswer kBadAnswers[] = {
    {"Type", [](auto& p) { p.ch.pdu_type = 5; }, "does not speak NVMe/TCP"},
    {"Hlen", [](auto& p) { p.ch.hlen = 24; }, "does not speak NVMe/TCP"},
    {"PlenShort", [](auto& p) { p.ch.plen = 127; }, "does not speak NVMe/TCP"},
    {"PlenLong", [](auto& p) { p.ch.plen = 129; }, "does not speak NVMe/TCP"},
    {"Version", [](auto& p) { p.pfv = 1; }, "PDU format version 1"},
    {"Alignment", [](auto& p) { p.cpda = 32; }, "(CPDA) is 32"},
    {"MaxH2cDataSmall", [](auto& p) { p.maxh2cdata = 4092; }, "MAXH2CDATA is 4092"},
    {"MaxH2cDataUneven", [](auto& p) { p.maxh2cdata = 4098; }, "MAXH2CDATA is 4098"},
    {"HeaderDigest", [](auto& p) { p.dgst ^= spec::kHeaderDigestEnable; }, "header digests"},
    {"DataDigest", [](auto& p) { p.dgst ^= spec::kDataDigestEnable; }, "data digests"},
};

INSTANTIATE_TEST_SUITE_P(Table, TcpHandshakeBadAnswer, ::testing::ValuesIn(kBadAnswers),
                         [](const auto& test) { return test.param.name; });

TEST(TcpHandshake, RefusesASenderThatDoesNotWaitForCommands) {
  TcpHandshake handshake(options());
  run_to(handshake, 2);
  Bytes bytes = bytes_of(good());
  append(bytes, ControllerPdus{}.response(0));
  EXPECT_EQ(answer(handshake, bytes).kind, Action::Kind::kFailed);
  EXPECT_THAT(handshake.error().text, HasSubstr("before any command"));
}

// --- With TLS

/// A handshake, and a server that answers it.
struct TlsHandshake {
  explicit TlsHandshake(MemoryTlsServer::Options answers, const TlsPsk& psk = psk_of())
      : context(TlsContext::make(psk).value()),
        channel(*context, 32 * 1024),
        server(std::move(answers)),
        handshake(options(), &channel) {}

  Bytes sent() {
    const iovec out = channel.output();
    const auto* first = static_cast<const std::byte*>(out.iov_base);
    return Bytes(first, first + out.iov_len);
  }
  Action received(const Bytes& bytes) {
    std::ranges::copy(bytes, static_cast<std::byte*>(channel.receive_space().iov_base));
    HandshakeOutcome outcome;
    outcome.bytes = bytes.size();
    return handshake.advance(Event::of(outcome), at(2));
  }
  /// Connects, and goes on until the step after TLS, or the failure.
  Action run() {
    handshake.start(at(0));
    Action action = handshake.advance(Event::of({}), at(1));
    while (action.kind == Action::Kind::kPerform && handshake.step() == 1) {
      if (action.payload == HandshakeAction::kTlsSend) {
        server.feed(sent());
        server.accept();
        action = handshake.advance(Event::of({}), at(2));
      } else {
        action = received(server.take());
      }
    }
    return action;
  }

  std::unique_ptr<TlsContext> context;
  TlsChannel channel;
  MemoryTlsServer server;
  TcpHandshake handshake;
};

TEST(TcpHandshake, DoesTlsBetweenConnectAndIcReq) {
  TlsHandshake tls({.psk = psk_of()});
  tls.handshake.start(at(0));
  const Action first = tls.handshake.advance(Event::of({}), at(1));
  EXPECT_EQ(first.payload, HandshakeAction::kTlsSend);
  EXPECT_STREQ(tls.handshake.step_name(), "TLS handshake");
  EXPECT_EQ(first.deadline, at(1) + seconds(5));

  TlsHandshake other({.psk = psk_of()});
  const Action action = other.run();
  EXPECT_EQ(action.kind, Action::Kind::kPerform);
  EXPECT_EQ(action.payload, HandshakeAction::kSend);
  EXPECT_STREQ(other.handshake.step_name(), "ICReq");
  EXPECT_EQ(other.channel.state(), TlsChannel::State::kOpen);
  EXPECT_TRUE(other.server.accept());
}

TEST(TcpHandshake, FailsClosedInTls) {
  HandshakeOutcome broken;
  broken.error_number = ECONNRESET;
  const Event faults[] = {
      Event::disconnected(Error::make(ErrorCode::kDisconnected, "gone")),
      Event::deadline(),
      Event::of(broken),
  };
  for (const bool receiving : {false, true}) {
    for (const Event& fault : faults) {
      TlsHandshake tls({.psk = psk_of()});
      tls.handshake.start(at(0));
      tls.handshake.advance(Event::of({}), at(1));
      if (receiving) tls.handshake.advance(Event::of({}), at(1));
      EXPECT_EQ(tls.handshake.advance(fault, at(9)).kind, Action::Kind::kFailed);
      EXPECT_EQ(tls.handshake.explained_error().step, "TLS handshake");
    }
  }
}

TEST(TcpHandshake, SaysWhatIsWrongWithTlsAndWhatToDo) {
  struct Case {
    MemoryTlsServer::Options server;
    ErrorCode code;
    const char* words;
  };
  const Case cases[] = {
      {{.psk = psk_of(spec::TlsHash::kSha256, 2)}, ErrorCode::kPermission, "is --tls-key the key"},
      {{.psk = psk_of(spec::TlsHash::kSha384)}, ErrorCode::kPermission, "it seems to have no key"},
      {{.psk = psk_of(), .version = TLS1_2_VERSION}, ErrorCode::kPermission, "must have TLS 1.3"},
      {{.certificate = true}, ErrorCode::kPermission, "does not use the key"},
  };
  for (const Case& each : cases) {
    TlsHandshake tls(each.server);
    EXPECT_EQ(tls.run().kind, Action::Kind::kFailed) << each.words;
    EXPECT_EQ(tls.handshake.explained_error().code, each.code);
    EXPECT_EQ(tls.handshake.explained_error().step, "TLS handshake");
    EXPECT_THAT(tls.handshake.explained_error().text, HasSubstr(each.words));
  }

  TlsHandshake plain({.psk = psk_of()});
  plain.handshake.start(at(0));
  plain.handshake.advance(Event::of({}), at(1));
  plain.handshake.advance(Event::of({}), at(1));
  EXPECT_EQ(plain.received(Bytes(24, std::byte{'x'})).kind, Action::Kind::kFailed);
  EXPECT_THAT(plain.handshake.error().text,
              HasSubstr("does not speak TLS (it answered \"xxxxxxxx\"); set it up there"));

  TlsHandshake closed({.psk = psk_of()});
  closed.handshake.start(at(0));
  closed.handshake.advance(Event::of({}), at(1));
  closed.handshake.advance(Event::of({}), at(1));
  EXPECT_EQ(closed.received({}).kind, Action::Kind::kFailed);
  EXPECT_THAT(closed.handshake.error().text, HasSubstr("does it have TLS at this port"));
}

TEST(TcpHandshake, WithoutAKeyItSeesThatThePeerWantsTls) {
  TcpHandshake handshake(options());
  run_to(handshake, 2);
  const Bytes alert = {std::byte{21}, std::byte{3}, std::byte{1}, std::byte{0},
                       std::byte{2},  std::byte{2}, std::byte{70}};
  EXPECT_EQ(answer(handshake, alert).kind, Action::Kind::kFailed);
  EXPECT_THAT(handshake.error().text, HasSubstr("wants TLS; give its key with --tls-key"));
}

}  // namespace
}  // namespace nvublk::nvme::tcp
