#include "nvme/tcp/tcp_handshake.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/tcp/controller_pdus.h"

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

}  // namespace
}  // namespace nvublk::nvme::tcp
