#include "nvme/rdma/rdma_handshake.h"

#include <cerrno>
#include <cstring>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nvme/rdma/cm_text.h"

namespace nvublk::nvme::rdma {
namespace {

using Action = RdmaHandshake::Action;
using Event = RdmaHandshake::Event;
using ::testing::HasSubstr;

// The rows that run when nothing is stale; row 0 is for what is.
constexpr const char* kSteps[] = {"resolve address", "resolve route", "create queue pair",
                                  "RDMA connect"};
constexpr RdmaAction kActions[] = {RdmaAction::kResolveAddress, RdmaAction::kResolveRoute,
                                   RdmaAction::kCreateQueuePair, RdmaAction::kConnect};

RdmaHandshake::Options options(std::uint16_t qid = 3) {
  return {"192.0.2.1:4420", seconds(5), qid, 7, 127};
}

Instant at(int second) {
  return Instant{} + seconds(second);
}

/// Plays a handshake up to where `step` is to be answered.
Action run_to(RdmaHandshake& handshake, std::size_t step) {
  Action action = handshake.start(at(0));
  for (std::size_t i = 0; i < step; i++) {
    EXPECT_EQ(action.payload, kActions[i]);
    action = handshake.advance(Event::of({}), at(1));
  }
  EXPECT_EQ(action.payload, kActions[step]);
  return action;
}

template <typename Record>
RdmaOutcome with_data(const Record& record, std::size_t length = sizeof(Record)) {
  RdmaOutcome outcome;
  std::memcpy(outcome.event.private_data.data(), &record, length);
  outcome.event.private_length = length;
  return outcome;
}

spec::RdmaAcceptData good() {
  spec::RdmaAcceptData accept;
  accept.crqsize = 128;
  return accept;
}

RdmaOutcome rejected(int reason) {
  RdmaOutcome outcome;
  outcome.rejected = true;
  outcome.reason = reason;
  return outcome;
}

TEST(RdmaHandshake, ConnectsAndSaysWhatTheQueueIs) {
  RdmaHandshake handshake(options());
  run_to(handshake, 3);
  EXPECT_EQ(handshake.request().recfmt.get(), 0);
  EXPECT_EQ(handshake.request().qid.get(), 3);
  EXPECT_EQ(handshake.request().hrqsize.get(), 128);
  EXPECT_EQ(handshake.request().hsqsize.get(), 127) << "0's based";
  EXPECT_EQ(handshake.request().cntlid.get(), 7);
  EXPECT_EQ(handshake.advance(Event::of(with_data(good())), at(2)).kind, Action::Kind::kDone);
}

TEST(RdmaHandshake, TheAdminQueueNamesNoController) {
  RdmaHandshake handshake(options(0));
  run_to(handshake, 3);
  EXPECT_EQ(handshake.request().qid.get(), 0);
  EXPECT_EQ(handshake.request().cntlid.get(), 0);
}

TEST(RdmaHandshake, EveryFaultInEveryStepFailsAndNamesTheStep) {
  RdmaOutcome broken;
  broken.error_number = ECONNABORTED;
  broken.cause = Error::make(ErrorCode::kNoResources, "no queue pair");
  const std::function<Event()> faults[] = {
      [] { return Event::deadline(); },
      [] { return Event::disconnected(Error::make(ErrorCode::kDisconnected, "gone")); },
      [&] { return Event::of(broken); },
  };
  for (std::size_t step = 0; step < std::size(kSteps); step++) {
    for (const auto& fault : faults) {
      RdmaHandshake handshake(options());
      run_to(handshake, step);
      EXPECT_EQ(handshake.advance(fault(), at(3)).kind, Action::Kind::kFailed);
      EXPECT_EQ(handshake.explained_error().step, kSteps[step]);
      EXPECT_FALSE(handshake.explained_error().text.empty());
    }
  }
}

TEST(RdmaHandshake, TriesAStaleConnectionAgainButNotForEver) {
  RdmaHandshake handshake(options());
  Action action = run_to(handshake, 3);
  for (unsigned attempt = 0; attempt < RdmaHandshake::kStaleAttempts; attempt++) {
    action = handshake.advance(Event::of(rejected(kRejectStaleConnection)), at(2));
    ASSERT_EQ(action.kind, Action::Kind::kPerform);
    EXPECT_EQ(action.payload, RdmaAction::kStartOver);
    for (const RdmaAction expected : kActions) {
      action = handshake.advance(Event::of({}), at(2));
      EXPECT_EQ(action.payload, expected);
    }
  }
  action = handshake.advance(Event::of(rejected(kRejectStaleConnection)), at(2));
  EXPECT_EQ(action.kind, Action::Kind::kFailed);
  EXPECT_THAT(handshake.explained_error().text, HasSubstr("old connection"));
}

TEST(RdmaHandshake, ExplainsAReject) {
  RdmaHandshake handshake(options());
  run_to(handshake, 3);
  spec::RdmaRejectData reject;
  reject.sts = static_cast<std::uint16_t>(spec::RdmaRejectStatus::kInvalidHsqsize);
  RdmaOutcome outcome = with_data(reject);
  outcome.rejected = true;
  outcome.reason = kRejectConsumer;
  EXPECT_EQ(handshake.advance(Event::of(outcome), at(2)).kind, Action::Kind::kFailed);
  EXPECT_THAT(handshake.explained_error().text, HasSubstr("192.0.2.1:4420 rejected"));
  EXPECT_THAT(handshake.explained_error().text, HasSubstr("HSQSIZE"));
}

TEST(RdmaHandshake, NothingListeningIsUnreachable) {
  RdmaHandshake handshake(options());
  run_to(handshake, 3);
  handshake.advance(Event::of(rejected(kRejectInvalidService)), at(2));
  EXPECT_EQ(handshake.explained_error().code, ErrorCode::kUnreachable);
}

TEST(RdmaHandshake, ChecksTheAccept) {
  spec::RdmaAcceptData other_format = good();
  other_format.recfmt = 1;
  spec::RdmaAcceptData no_room = good();
  no_room.crqsize = 0;
  const RdmaOutcome bad[] = {with_data(good(), 0), with_data(good(), 3), with_data(other_format),
                             with_data(no_room)};
  for (const RdmaOutcome& outcome : bad) {
    RdmaHandshake handshake(options());
    run_to(handshake, 3);
    EXPECT_EQ(handshake.advance(Event::of(outcome), at(2)).kind, Action::Kind::kFailed);
    EXPECT_EQ(handshake.explained_error().code, ErrorCode::kProtocol);
  }
  RdmaHandshake handshake(options());
  run_to(handshake, 3);
  EXPECT_EQ(handshake.advance(Event::of(with_data(good(), 4)), at(2)).kind, Action::Kind::kDone)
      << "some leave out the reserved bytes";
}

}  // namespace
}  // namespace nvublk::nvme::rdma
